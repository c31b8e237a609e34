// In the audio thread: what the microphone gives, as mono chunks of some 20 ms, handed to the page.

class Capture extends AudioWorkletProcessor {
  #chunk = new Float32Array(1024);
  #filled = 0;

  process([channels]) {
    if (channels.length > 0) {
      for (let n = 0; n < channels[0].length; n += 1) {
        let sum = 0;
        for (const channel of channels) sum += channel[n];
        this.#chunk[this.#filled] = sum / channels.length;
        this.#filled += 1;
        if (this.#filled === this.#chunk.length) {
          this.port.postMessage(this.#chunk, [this.#chunk.buffer]);
          this.#chunk = new Float32Array(1024);
          this.#filled = 0;
        }
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
