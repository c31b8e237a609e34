// Scores -> detections, as speech_rnn/streaming.py does it: smoothing, threshold a label, refractory time.

/** Whether a label is ever reported; `_silence_` and `_unknown_` are not. */
export function isWord(label) {
  return !label.startsWith("_");
}

export class Detector {
  #labels;
  #config;
  #recent = []; // {time, values}
  #restsUntil = -Infinity;

  /** Of all labels without a threshold of their own, 0 to 1; may be set at any time. */
  threshold;

  /** Mean of the recent scores, Float32Array [labels]; null before the first. */
  scores = null;

  /**
   * @param {string[]} labels in the order of the scores
   * @param {object} config smoothing_s, threshold, thresholds, refractory_s
   */
  constructor(labels, config) {
    this.#labels = labels;
    this.#config = config;
    this.threshold = config.threshold;
  }

  /** What a label must reach. */
  thresholdOf(label) {
    const own = this.#config.thresholds;
    return Object.hasOwn(own, label) ? own[label] : this.threshold;
  }

  /**
   * @param {number} time seconds since the stream's start
   * @param {Float32Array} values [labels]
   * @returns {{label: string, score: number, time: number} | null}
   */
  update(time, values) {
    // A nanosecond: times are sums of steps, and rounded.
    while (this.#recent[0]?.time <= time - this.#config.smoothing_s + 1e-9) this.#recent.shift();
    this.#recent.push({ time, values });
    this.scores = values.map((_, i) => {
      let sum = 0;
      for (const one of this.#recent) sum += one.values[i];
      return sum / this.#recent.length;
    });
    let best = -1;
    let most = -Infinity; // above its threshold
    this.#labels.forEach((label, i) => {
      const above = this.scores[i] - Math.fround(this.thresholdOf(label));
      if (isWord(label) && above > most) [best, most] = [i, above];
    });
    if (most < 0 || time < this.#restsUntil - 1e-9) return null;
    this.#restsUntil = time + this.#config.refractory_s;
    return { label: this.#labels[best], score: this.scores[best], time };
  }

  /** Forget all scores, as for a new stream. */
  reset() {
    this.#recent = [];
    this.#restsUntil = -Infinity;
    this.scores = null;
  }
}
