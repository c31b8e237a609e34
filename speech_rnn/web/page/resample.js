// Sound of any rate -> sound of the model's rate, in chunks, without a seam between them.

const ZERO_CROSSINGS = 32; // on each side
const BETA = 10; // of the Kaiser window: 100 dB of what would fold back is gone
const PASSED = 0.94; // of the band; the filter falls above

/** Bessel function of the first kind and order 0, which the Kaiser window is made of. */
function bessel(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-12 * sum; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestDivisor(a, b) {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** A polyphase filter: a windowed sinc, tabulated for each place that an output sample can have between two others. */
export class Resampler {
  #from;
  #to;
  #half; // input samples that an output sample hears on each side
  #phases = new Map();
  #sound; // input from #first on
  #first;
  #taken = 0; // input samples so far
  #given = 0; // output samples so far

  /**
   * @param {number} from rate in Hz of what comes, a whole number
   * @param {number} to rate in Hz of what is wanted, a whole number
   */
  constructor(from, to) {
    const divisor = greatestDivisor(from, to);
    this.#from = from / divisor;
    this.#to = to / divisor;
    this.#half = Math.ceil((ZERO_CROSSINGS * Math.max(from, to)) / to);
    // Silence before the first sample: an output sample lies where its sound does, nothing is delayed.
    this.#sound = new Float32Array(this.#half);
    this.#first = -this.#half;
  }

  /**
   * @param {Float32Array} samples any number of them
   * @returns {Float32Array} what can be told by now; it lags by ZERO_CROSSINGS samples
   */
  accept(samples) {
    if (this.#from === this.#to) return samples;
    const sound = new Float32Array(this.#sound.length + samples.length);
    sound.set(this.#sound);
    sound.set(samples, this.#sound.length);
    this.#taken += samples.length;
    // Output n lies at n * from / to; it can be told once all that it hears is there.
    const known = Math.max(this.#given, Math.ceil(((this.#taken - this.#half) * this.#to) / this.#from));
    const out = new Float32Array(known - this.#given);
    for (let n = 0; n < out.length; n += 1) {
      const place = (this.#given + n) * this.#from;
      const whole = Math.floor(place / this.#to);
      const taps = this.#taps(place % this.#to);
      const start = whole - this.#half + 1 - this.#first;
      let sum = 0;
      for (let k = 0; k < taps.length; k += 1) sum += taps[k] * sound[start + k];
      out[n] = sum;
    }
    this.#given = known;
    const needed = Math.floor((known * this.#from) / this.#to) - this.#half + 1;
    this.#sound = sound.slice(needed - this.#first);
    this.#first = needed;
    return out;
  }

  /** The filter for an output sample that lies phase / to behind an input sample. */
  #taps(phase) {
    let taps = this.#phases.get(phase);
    if (taps === undefined) {
      const cutoff = PASSED * Math.min(1, this.#to / this.#from);
      taps = new Float32Array(2 * this.#half);
      let sum = 0;
      for (let k = 0; k < taps.length; k += 1) {
        const t = k - this.#half + 1 - phase / this.#to;
        const x = Math.PI * t * cutoff;
        const window = bessel(BETA * Math.sqrt(Math.max(0, 1 - (t / this.#half) ** 2)));
        taps[k] = (x === 0 ? 1 : Math.sin(x) / x) * window;
        sum += taps[k];
      }
      for (let k = 0; k < taps.length; k += 1) taps[k] /= sum;
      this.#phases.set(phase, taps);
    }
    return taps;
  }
}
