// The model, run by LiteRT.js; both lie compressed in this page, so nothing is fetched.

/**
 * The bytes of an inert block of the page.
 * @param {string} id of a script element that holds base64 of gzip
 * @returns {Promise<Uint8Array>}
 */
async function unpack(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Run LiteRT.js as a classic script: the content policy knows its hash, and would refuse any other text. */
async function runLibrary() {
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await unpack("litert-js"));
  document.head.append(script);
  if (!globalThis.LITERT) throw new Error("the browser refuses to run LiteRT.js");
  return globalThis.LITERT;
}

/** A stream model: the two halves of one step, MFCC and classifier. */
export class Model {
  #Tensor;
  #compiled;
  #settings;

  /** @param {object} settings of the page: step_length, kept_length, stack, n_mfcc, states */
  static async load(settings) {
    const litert = await runLibrary();
    const wasmBinary = await unpack("litert-wasm");
    await litert.start(wasmBinary);
    const compiled = await litert.compile(await unpack("model"));
    return new Model(litert.Tensor, compiled, settings);
  }

  constructor(Tensor, compiled, settings) {
    this.#Tensor = Tensor;
    this.#compiled = compiled;
    this.#settings = settings;
  }

  /** States of a lane that has heard nothing. */
  newStates() {
    return this.#settings.states.map((size) => new this.#Tensor(new Float32Array(size), [1, size]));
  }

  /**
   * MFCC of a step.
   * @param {Float32Array} window kept_length and step_length samples, full scale ±1
   * @returns {Promise<{values: Float32Array, tensor: object}>} [stack * n_mfcc]; the tensor goes into step()
   */
  async features(window) {
    const input = new this.#Tensor(window, [1, window.length]);
    const { frames } = await this.#compiled.run("features", { window: input });
    input.delete();
    return { values: frames.toTypedArray(), tensor: frames };
  }

  /**
   * One step of one lane; the states given are used up.
   * @param {object} frames tensor from features(), still whoever's it was
   * @param {object[]} states
   * @param {boolean} wanted whether the scores are looked at
   * @returns {Promise<{scores: Float32Array | null, states: object[]}>}
   */
  async step(frames, states, wanted) {
    const inputs = { frames };
    states.forEach((state, i) => { inputs[`state_${i}`] = state; });
    const result = await this.#compiled.run("step", inputs);
    states.forEach((state) => state.delete());
    const scores = wanted ? result.scores.toTypedArray() : null;
    result.scores.delete(); // what isn't deleted stays in WebAssembly's memory for good
    return { scores, states: states.map((_, i) => result[`new_state_${i}`]) };
  }
}
