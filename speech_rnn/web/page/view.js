// What the page shows. Texts from the model go in as text, never as HTML.

import { isWord } from "./detector.js";
import { Spectrogram } from "./spectrogram.js";

const QUIETEST_DB = -60;
const MOST_DETECTIONS = 200;
// Between two pictures: twenty a second spare a phone's battery; who wants no motion gets one a second.
const MOVING_MS = 50;
const STILL_MS = 1_000;

const element = (id) => document.getElementById(id);

/** 63.41 -> "1:03.4" */
export function clock(seconds) {
  const tenths = Math.floor(10 * seconds + 1e-6);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

export class View {
  #settings;
  #detector;
  #spectrogram;
  #rows = []; // {row, bar, number}
  #heading = null; // of the detections to come
  #level = { peak: 0, squares: 0, count: 0 };
  #loudUntil = 0;
  #dirty = true;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #drawn = 0; // when, in ms
  #flashing; // timer

  constructor(settings, detector) {
    this.#settings = settings;
    this.#detector = detector;
    this.#spectrogram = new Spectrogram(element("spectrogram"), settings);
    this.#makeRows();
    this.showThreshold();
    addEventListener("resize", () => { this.#dirty = true; });
    const draw = (now) => {
      if (this.#dirty && now - this.#drawn >= (this.#calm.matches ? STILL_MS : MOVING_MS)) this.#draw(now);
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }

  /** Say what is going on; heard by screen readers. */
  say(text, { problem = false } = {}) {
    const status = element("status");
    status.textContent = text;
    status.classList.toggle("problem", problem);
  }

  /** Whether a microphone is open, or a file being heard. */
  showRunning(kind) {
    element("listen").textContent = kind === null ? "Start listening" : "Stop";
    element("listen").classList.toggle("running", kind !== null);
    document.body.dataset.running = kind ?? "";
    if (kind === null) this.#level = { peak: 0, squares: 0, count: 0 };
    this.#dirty = true;
  }

  /** An empty picture and no scores; the detections stay, under a heading of their own. */
  begin(name, seconds) {
    this.#spectrogram.reset(seconds);
    this.#heading = name;
    this.showProgress(0);
    this.#dirty = true;
  }

  /** Sound that came in, for the level. */
  addSound(samples) {
    const level = this.#level;
    for (const sample of samples) {
      level.peak = Math.max(level.peak, Math.abs(sample));
      level.squares += sample * sample;
    }
    level.count += samples.length;
    this.#dirty = true;
  }

  /** MFCC of a step. */
  addFrames(mfcc) {
    this.#spectrogram.add(mfcc);
    this.#dirty = true;
  }

  addDetection({ label, score, time }) {
    this.#spectrogram.mark(label);
    const list = element("detections");
    if (this.#heading !== null) {
      const heading = document.createElement("li");
      heading.className = "heading";
      heading.textContent = this.#heading;
      list.prepend(heading);
      this.#heading = null;
    }
    const [heading] = list.children;
    const item = document.createElement("li");
    const word = document.createElement("bdi");
    word.textContent = label;
    const number = document.createElement("span");
    number.textContent = `${Math.round(100 * score)} %`;
    const at = document.createElement("time");
    at.textContent = clock(time);
    item.append(word, " ", number, " ", at);
    heading.after(item); // the newest first, below what it was heard in
    while (list.children.length > MOST_DETECTIONS) list.lastElementChild.remove();
    element("nothing").hidden = true;
    this.#flash(label);
  }

  /** What may be used now that the model is there. */
  showReady(microphone) {
    element("listen").disabled = !microphone;
    element("file").disabled = false;
    document.body.classList.add("ready");
  }

  /** How much of a file is heard, 0 to 1. */
  showProgress(share) {
    element("progress").value = share;
  }

  /** Offer the microphones where there is a choice; the one in use stays chosen. */
  showDevices(devices) {
    const select = element("device");
    const chosen = select.value;
    const options = [{ id: "", name: "System's choice" }, ...devices].map(({ id, name }) => new Option(name, id));
    select.replaceChildren(...options);
    select.value = devices.some(({ id }) => id === chosen) ? chosen : "";
    element("devices").hidden = devices.length < 2;
  }

  clearDetections() {
    this.#heading ??= document.querySelector("#detections .heading")?.textContent ?? null;
    element("detections").replaceChildren();
    element("nothing").hidden = false;
  }

  /** The threshold in words and as marks on the bars. */
  showThreshold() {
    const { threshold } = this.#detector;
    element("threshold").value = threshold;
    element("threshold-value").textContent = `${Math.round(100 * threshold)} %`;
    this.#rows.forEach(({ row }, i) => {
      row.style.setProperty("--threshold", this.#detector.thresholdOf(this.#settings.labels[i]));
    });
  }

  #makeRows() {
    const template = element("score-row");
    for (const label of this.#settings.labels) {
      const row = template.content.firstElementChild.cloneNode(true);
      row.querySelector("bdi").textContent = label;
      row.classList.toggle("word", isWord(label));
      element("scores").append(row);
      this.#rows.push({ row, bar: row.querySelector(".bar"), number: row.querySelector(".number") });
    }
  }

  /** Light up the label's row for a moment, and no other. */
  #flash(label) {
    const { row } = this.#rows[this.#settings.labels.indexOf(label)];
    for (const other of this.#rows) other.row.classList.toggle("detected", other.row === row);
    clearTimeout(this.#flashing);
    this.#flashing = setTimeout(() => row.classList.remove("detected"), 900);
  }

  #draw(now) {
    this.#dirty = false;
    this.#drawn = now;
    this.#spectrogram.draw();
    const { scores } = this.#detector;
    const highest = scores === null ? NaN : Math.max(...scores);
    this.#rows.forEach(({ bar, number, row }, i) => {
      const score = scores === null ? 0 : scores[i];
      bar.style.setProperty("--score", score.toFixed(3));
      number.textContent = scores === null ? "–" : `${Math.round(100 * score)} %`;
      row.classList.toggle("likeliest", score === highest);
    });
    this.#drawLevel(now);
  }

  #drawLevel(now) {
    const { peak, squares, count } = this.#level;
    const meter = element("level");
    if (count === 0) {
      if (document.body.dataset.running === "") {
        meter.style.setProperty("--level", 0);
        meter.style.setProperty("--peak", 0);
        meter.setAttribute("aria-valuenow", QUIETEST_DB);
        meter.setAttribute("aria-valuetext", "no sound");
        element("level-text").textContent = "–";
      }
      return;
    }
    const share = (db) => Math.min(1, Math.max(0, 1 - db / QUIETEST_DB)).toFixed(3);
    const level = Math.max(QUIETEST_DB, 10 * Math.log10(squares / count + 1e-12));
    if (peak >= 0.99) this.#loudUntil = now + 1_500;
    const text = now < this.#loudUntil ? "too loud" : `${Math.round(level)} dB`;
    meter.style.setProperty("--level", share(level));
    meter.style.setProperty("--peak", share(20 * Math.log10(peak + 1e-9)));
    meter.classList.toggle("loud", now < this.#loudUntil);
    meter.setAttribute("aria-valuenow", Math.round(level));
    meter.setAttribute("aria-valuetext", text);
    element("level-text").textContent = text;
    this.#level = { peak: 0, squares: 0, count: 0 };
  }
}
