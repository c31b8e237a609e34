// The page: buttons and files to sessions, and what to say about each.

import { AudioProblem, Microphone, NOT_OFFERED, decodeFile, microphoneOffered } from "./audio.js";
import { Detector } from "./detector.js";
import { Lanes, joined } from "./lanes.js";
import { Model } from "./litert.js";
import { Session } from "./session.js";
import { View, clock } from "./view.js";

const LIVE_S = 6; // of the picture
const LONGEST_PICTURE_S = 60;
const BLOCK_S = 0.5; // of a file, between two looks at the screen

const element = (id) => document.getElementById(id);
const settings = JSON.parse(element("settings").textContent);
const detector = new Detector(settings.labels, settings.detector);
const view = new View(settings, detector);
let model = null;
let session = null;
let microphone = null;

/** End what is going on, and say why. */
function stop(reason, options) {
  session?.end();
  microphone?.stop();
  session = null;
  microphone = null;
  view.showRunning(null);
  view.say(reason, options);
}

function begin(kind, name) {
  stop("");
  session = new Session(model, settings, detector, view);
  view.begin(name, LIVE_S);
  view.showRunning(kind);
  return session;
}

/** Whatever ends a session that nobody has stopped. */
function fail(own, error) {
  if (own.ended) return;
  if (!(error instanceof AudioProblem)) console.error(error);
  const text = error instanceof AudioProblem ? error.message : `Something failed (${error.message}). Reload the page.`;
  stop(text, { problem: true });
}

async function listen() {
  const own = begin("microphone", `Microphone, ${new Date().toLocaleTimeString()}`);
  view.say("Waiting for the microphone. Allow it if the browser asks.");
  try {
    const opened = await Microphone.open({
      deviceId: element("device").value,
      sampleRate: settings.sample_rate,
      onSound: (samples) => { if (!own.ended) hearLive(own, samples); },
      onEnd: (reason) => { if (!own.ended) stop(reason, { problem: true }); },
      onPause: (reason) => { if (!own.ended) view.say(reason ?? "Listening.", { problem: reason !== null }); },
    });
    if (own.ended) {
      opened.stop(); // while the browser was asking
      return;
    }
    microphone = opened;
    view.say("Listening.");
    await showDevices();
  } catch (error) {
    fail(own, error);
  }
}

async function hearLive(own, samples) {
  const skipped = own.skipped_s;
  try {
    await own.take(samples);
  } catch (error) {
    fail(own, error);
  }
  if (own.skipped_s > skipped && !own.ended) {
    const seconds = Math.ceil(own.skipped_s);
    view.say(`Listening. This device is too slow: ${seconds} s of sound were left out.`, { problem: true });
  }
}

/** A file, as fast as this device can; half a clip of silence behind it, so that a word at its end is heard. */
async function hearFile(file) {
  const own = begin("file", file.name);
  view.say(`Reading ${file.name}.`);
  try {
    const sound = await decodeFile(file, settings.sample_rate);
    if (own.ended) return;
    const seconds = sound.length / settings.sample_rate;
    view.begin(file.name, Math.min(LONGEST_PICTURE_S, Math.max(LIVE_S, seconds)));
    const all = joined(sound, new Float32Array(Math.floor(settings.clip_length / 2)));
    const block = BLOCK_S * settings.sample_rate;
    for (let start = 0; start < all.length; start += block) {
      view.addSound(all.subarray(start, start + block));
      await own.hear(all.subarray(start, start + block));
      if (own.ended) return;
      view.showProgress(Math.min(1, (start + block) / all.length));
      await new Promise((resume) => { setTimeout(resume); });
    }
    const words = own.found === 0 ? "no word" : own.found === 1 ? "1 word" : `${own.found} words`;
    stop(`${file.name}, ${clock(seconds)}: ${words} detected.`);
  } catch (error) {
    fail(own, error);
  }
}

/** The microphones to choose from, once the browser tells. */
async function showDevices() {
  view.showDevices(await Microphone.list());
}

function connectControls() {
  element("listen").addEventListener("click", () => {
    if (session === null) listen();
    else stop("Stopped.");
  });
  element("device").addEventListener("change", () => {
    if (microphone !== null) listen();
  });
  element("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = ""; // the same file may be chosen again
    if (file) hearFile(file);
  });
  element("threshold").addEventListener("input", ({ target }) => {
    detector.threshold = Number(target.value);
    view.showThreshold();
  });
  element("clear").addEventListener("click", () => view.clearDetections());
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file && model !== null) hearFile(file);
  });
  navigator.mediaDevices?.addEventListener?.("devicechange", showDevices);
}

/**
 * The raw scores of some sound, for whoever builds on this page or tests it; what is being heard isn't touched.
 * @param {Float32Array} samples at settings.sample_rate
 * @returns {Promise<{time: number, scores: number[]}[]>}
 */
async function rawScores(samples) {
  const lanes = new Lanes(model, settings);
  const found = [];
  for await (const { time, scores } of lanes.accept(samples)) {
    if (scores !== null) found.push({ time, scores: [...scores] });
  }
  lanes.delete();
  return found;
}

try {
  model = await Model.load(settings);
  connectControls();
  view.showReady(microphoneOffered());
  view.say(microphoneOffered() ? "Ready." : NOT_OFFERED, { problem: !microphoneOffered() });
  globalThis.speechRnn = Object.freeze({ settings, rawScores });
} catch (error) {
  console.error(error);
  view.say(`The model can't be run in this browser (${error.message}). A current Chrome, Edge or Firefox runs it.`, {
    problem: true,
  });
}
