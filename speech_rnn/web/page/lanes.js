// Endless sound -> scores, as speech_rnn/streaming.py does it.

/**
 * The lanes of a stream. A step is step_length new samples; its first frames reach kept_length samples back.
 *
 * In *window* a lane starts every few steps, hears one clip from a state of zeros, gives the clip's scores and ends:
 * exactly what the clip model says of those samples. In *carry* there is one lane, whose state is never reset.
 */
export class Lanes {
  #model;
  #settings;
  #lanes = []; // {states, steps}
  #waiting = new Float32Array(0);
  #start = 0; // samples before the first of these steps
  #steps = 0;

  /**
   * @param {object} model features() and step() as in litert.js
   * @param {object} settings sample_rate, step_length, kept_length, n_steps, interval_steps, detector
   */
  constructor(model, settings) {
    this.#model = model;
    this.#settings = settings;
  }

  /**
   * Take samples, any number of them, and yield once a step.
   * @param {Float32Array} samples at sample_rate, full scale ±1
   * @yields {{frames: Float32Array, time: number, scores: Float32Array | null}} the step's MFCC; the seconds from the
   *   stream's first sample to the last that was heard; the raw scores if there are some now
   */
  async *accept(samples) {
    const { kept_length, step_length } = this.#settings;
    const length = kept_length + step_length;
    this.#waiting = joined(this.#waiting, samples);
    while (this.#waiting.length >= length) {
      const window = this.#waiting.slice(0, length);
      this.#waiting = this.#waiting.slice(step_length);
      yield await this.#step(window);
    }
  }

  /** Begin anew after a gap of so many samples: no lane hears sound from both sides of it. */
  skip(samples) {
    const { step_length } = this.#settings;
    this.#start += this.#steps * step_length + this.#waiting.length + samples;
    this.delete();
    this.#waiting = new Float32Array(0);
    this.#steps = 0;
  }

  /** Free the states; LiteRT.js doesn't by itself. */
  delete() {
    for (const lane of this.#lanes) lane.states.forEach((state) => state.delete());
    this.#lanes = [];
  }

  async #step(window) {
    const { detector, n_steps, interval_steps } = this.#settings;
    const carry = detector.mode === "carry";
    const starts = carry ? this.#steps === 0 : this.#steps % interval_steps === 0;
    if (starts) this.#lanes.push({ states: this.#model.newStates(), steps: 0 });
    this.#steps += 1;
    const { values, tensor } = await this.#model.features(window);
    const heard = { frames: values, time: this.#time(), scores: null };
    for (const lane of this.#lanes) {
      lane.steps += 1;
      const ends = carry || lane.steps === n_steps;
      const { scores, states } = await this.#model.step(tensor, lane.states, ends);
      lane.states = states;
      if (ends) heard.scores = scores; // at most one does: they started one after another
    }
    tensor.delete();
    if (!carry && this.#lanes[0]?.steps === n_steps) {
      this.#lanes.shift().states.forEach((state) => state.delete());
    }
    return heard;
  }

  #time() {
    const { kept_length, step_length, sample_rate } = this.#settings;
    return (this.#start + kept_length + this.#steps * step_length) / sample_rate;
  }
}

/** Two arrays as one. */
export function joined(first, second) {
  const all = new Float32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
