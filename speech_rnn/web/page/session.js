// One listening, from its start to its end: sound -> scores -> detections, onto the screen, in order.

import { Lanes, joined } from "./lanes.js";

const MOST_BEHIND_S = 5; // that a slow device may lag before sound is left out

export class Session {
  #lanes;
  #detector;
  #view;
  #settings;
  #queue = [];
  #working = null; // promise of the work under way
  #hearing = false;
  #skipped = 0; // samples

  ended = false;
  found = 0; // detections

  constructor(model, settings, detector, view) {
    this.#lanes = new Lanes(model, settings);
    this.#settings = settings;
    this.#detector = detector;
    this.#view = view;
    detector.reset();
  }

  /** Seconds of sound that this device was too slow for. */
  get skipped_s() {
    return this.#skipped / this.#settings.sample_rate;
  }

  /**
   * Take live sound; what comes faster than the model hears it waits, and at last is left out.
   * @returns {Promise<void>} done when all that waited is heard
   */
  take(samples) {
    this.#view.addSound(samples);
    this.#queue.push(samples);
    this.#working ??= this.#work().finally(() => { this.#working = null; });
    return this.#working;
  }

  /** Hear sound at once; one call at a time. */
  async hear(samples) {
    this.#hearing = true;
    try {
      for await (const { frames, time, scores } of this.#lanes.accept(samples)) {
        if (this.ended) break;
        this.#view.addFrames(frames);
        const detection = scores === null ? null : this.#detector.update(time, scores);
        if (detection !== null) {
          this.found += 1;
          this.#view.addDetection(detection);
        }
      }
    } finally {
      this.#hearing = false;
      if (this.ended) this.#lanes.delete();
    }
  }

  /** Hear no more, and show no more. */
  end() {
    this.ended = true;
    if (!this.#hearing) this.#lanes.delete();
  }

  async #work() {
    while (this.#queue.length > 0 && !this.ended) {
      const sound = this.#queue.reduce(joined);
      this.#queue = [];
      if (sound.length > MOST_BEHIND_S * this.#settings.sample_rate) {
        this.#skipped += sound.length;
        this.#lanes.skip(sound.length);
        this.#detector.reset();
      } else {
        await this.hear(sound);
      }
    }
  }
}
