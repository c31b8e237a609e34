// Where sound comes from: a microphone, or a file that the user gives.

import { Resampler } from "./resample.js";

const LARGEST_FILE = 200_000_000; // bytes; the browser decodes a file as a whole

/** Something that the user can mend; its message says what and how. */
export class AudioProblem extends Error {}

const MICROPHONE_PROBLEMS = {
  NotAllowedError:
    "The microphone is not allowed for this page. Allow it beside the address, or in the system's privacy settings, " +
    "and start again.",
  NotFoundError: "No microphone was found. Connect one and start again, or choose a sound file.",
  NotReadableError: "The microphone can't be opened; another program may be using it. Close that and start again.",
  OverconstrainedError: "That microphone is gone. Choose another and start again.",
  SecurityError: "This browser doesn't give this page a microphone. Open the page by double-click, or over https.",
};

/** Whether the browser offers microphones to this page at all. */
export function microphoneOffered() {
  return navigator.mediaDevices?.getUserMedia !== undefined && globalThis.AudioWorkletNode !== undefined;
}

export const NOT_OFFERED = globalThis.isSecureContext === false
  ? "Over plain http, browsers give a page no microphone. Open it over https, on localhost, or save it and " +
    "double-click the file. Sound files work here."
  : "This browser gives this page no microphone; a current Chrome, Edge or Firefox does. Sound files work here.";

/** A microphone that is open, until stop(). */
export class Microphone {
  #stream;
  #context;

  /**
   * @param {object} options
   * @param {string} options.deviceId of the wanted device; "" for the system's choice
   * @param {number} options.sampleRate wanted, in Hz
   * @param {(samples: Float32Array) => void} options.onSound
   * @param {(reason: string) => void} options.onEnd called if the microphone goes away by itself
   * @param {(reason: string | null) => void} options.onPause called if it falls silent, and with null once it goes on
   * @returns {Promise<Microphone>}
   * @throws {AudioProblem}
   */
  static async open({ deviceId, sampleRate, onSound, onEnd, onPause }) {
    if (!microphoneOffered()) throw new AudioProblem(NOT_OFFERED);
    const microphone = new Microphone();
    try {
      // The sound as it is: what cleans calls up also bends words, and no model here was trained on that.
      microphone.#stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          echoCancellation: false,
          noiseSuppression: false,
          autoGainControl: false,
          ...(deviceId && { deviceId: { exact: deviceId } }),
        },
      });
      await microphone.#connect(sampleRate, onSound);
    } catch (error) {
      microphone.stop();
      const text = MICROPHONE_PROBLEMS[error.name];
      throw new AudioProblem(text ?? `The microphone can't be opened (${error.name}: ${error.message}).`);
    }
    const [track] = microphone.#stream.getAudioTracks();
    track.addEventListener("ended", () => onEnd("The microphone has gone away. Connect it and start again."));
    track.addEventListener("mute", () => onPause("The microphone is muted, by a switch or by the system."));
    track.addEventListener("unmute", () => onPause(null));
    const context = microphone.#context;
    context.addEventListener("statechange", () => {
      if (context.state !== "closed") onPause(context.state === "running" ? null : "The browser has paused the sound.");
    });
    return microphone;
  }

  /** @returns {Promise<{id: string, name: string}[]>} the devices; their names are known once one was allowed */
  static async list() {
    if (!microphoneOffered()) return [];
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices
      .filter((device) => device.kind === "audioinput" && device.deviceId)
      .map((device) => ({ id: device.deviceId, name: device.label || "Microphone" }));
  }

  async #connect(sampleRate, onSound) {
    // At the device's own rate: not every browser resamples a microphone.
    this.#context = new AudioContext({ latencyHint: "interactive" });
    const code = document.getElementById("capture").textContent;
    // A data: address; a blob: address fails in a page that was opened from a file.
    await this.#context.audioWorklet.addModule(`data:text/javascript;charset=utf-8,${encodeURIComponent(code)}`);
    const resampler = new Resampler(Math.round(this.#context.sampleRate), sampleRate);
    const capture = new AudioWorkletNode(this.#context, "capture");
    capture.port.onmessage = ({ data }) => onSound(resampler.accept(data));
    this.#context.createMediaStreamSource(this.#stream).connect(capture);
    capture.connect(this.#context.destination); // of silence; what leads nowhere isn't run
    await this.#context.resume();
  }

  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#context?.close();
  }
}

/**
 * A sound file as mono samples.
 * @param {File} file
 * @param {number} sampleRate wanted, in Hz
 * @returns {Promise<Float32Array>}
 * @throws {AudioProblem}
 */
export async function decodeFile(file, sampleRate) {
  if (file.size > LARGEST_FILE) {
    throw new AudioProblem(
      `${file.name} has ${Math.round(file.size / 1e6)} MB, and this page takes ${LARGEST_FILE / 1e6}. ` +
        "'speech-rnn recognize --stream' hears longer recordings.",
    );
  }
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new AudioProblem(
      `${file.name} is not a sound that this browser can decode; WAV, MP3, FLAC and Ogg usually are.`,
    );
  }
  const mono = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c += 1) {
    const channel = sound.getChannelData(c);
    for (let n = 0; n < mono.length; n += 1) mono[n] += channel[n] / sound.numberOfChannels;
  }
  return mono;
}
