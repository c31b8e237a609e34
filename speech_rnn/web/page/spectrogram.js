// What the model hears, as a picture: its MFCC turned back into mel bands, over time.

const MOST_COLUMNS = 1_500;
const RANGE_DB = 75; // from the floor under the logarithm to the brightest colour

// Magma by Smith and van der Walt (CC0), at nine places.
const COLOURS = [
  [0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97],
  [254, 194, 135], [252, 253, 191],
];

export class Spectrogram {
  #canvas;
  #settings;
  #cosines; // [n_mels][n_mfcc]: the inverse of the orthonormal DCT-II
  #picture; // one pixel a column and band
  #pixels;
  #framesPerColumn = 1;
  #columns = 0; // drawn so far, in all
  #loudest; // of the frames of the column in the making
  #pending = 0;
  #marks = []; // {column, label}

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {object} settings n_mels, n_mfcc, floor_db, hop_s
   */
  constructor(canvas, settings) {
    this.#canvas = canvas;
    this.#settings = settings;
    const { n_mels: bands, n_mfcc } = settings;
    this.#cosines = Array.from({ length: bands }, (_, m) =>
      Float32Array.from({ length: n_mfcc }, (_, k) =>
        Math.sqrt((k === 0 ? 1 : 2) / bands) * Math.cos((Math.PI * k * (2 * m + 1)) / (2 * bands))));
    this.reset(6);
  }

  /** Start with an empty picture of so many seconds. */
  reset(seconds) {
    const frames = Math.ceil(seconds / this.#settings.hop_s);
    this.#framesPerColumn = Math.ceil(frames / MOST_COLUMNS);
    const width = Math.ceil(frames / this.#framesPerColumn);
    this.#picture = Object.assign(document.createElement("canvas"), { width, height: this.#settings.n_mels });
    this.#pixels = this.#picture.getContext("2d").createImageData(1, this.#settings.n_mels);
    this.#columns = 0;
    this.#pending = 0;
    this.#marks = [];
    this.#loudest = new Float32Array(this.#settings.n_mels).fill(-Infinity);
    const brush = this.#picture.getContext("2d");
    brush.fillStyle = `rgb(${COLOURS[0].join(" ")})`;
    brush.fillRect(0, 0, width, this.#picture.height);
  }

  /** Add the frames of a step: MFCC [stack * n_mfcc]. */
  add(mfcc) {
    const { n_mfcc, n_mels } = this.#settings;
    for (let start = 0; start < mfcc.length; start += n_mfcc) {
      for (let m = 0; m < n_mels; m += 1) {
        let db = 0;
        for (let k = 0; k < n_mfcc; k += 1) db += this.#cosines[m][k] * mfcc[start + k];
        if (db > this.#loudest[m]) this.#loudest[m] = db;
      }
      this.#pending += 1;
      if (this.#pending === this.#framesPerColumn) this.#finishColumn();
    }
  }

  /** Note a word at the newest column. */
  mark(label) {
    this.#marks.push({ column: this.#columns, label });
    const oldest = this.#columns - this.#picture.width;
    while (this.#marks[0].column < oldest) this.#marks.shift();
  }

  #finishColumn() {
    const bands = this.#settings.n_mels;
    for (let m = 0; m < bands; m += 1) {
      const share = Math.min(1, Math.max(0, (this.#loudest[m] - this.#settings.floor_db) / RANGE_DB));
      const place = share * (COLOURS.length - 1);
      const low = Math.min(COLOURS.length - 2, Math.floor(place));
      for (let c = 0; c < 3; c += 1) {
        // Low bands at the bottom.
        this.#pixels.data[4 * (bands - 1 - m) + c] =
          COLOURS[low][c] + (place - low) * (COLOURS[low + 1][c] - COLOURS[low][c]);
      }
      this.#pixels.data[4 * (bands - 1 - m) + 3] = 255;
    }
    // A ring: the newest column overwrites the oldest.
    this.#picture.getContext("2d").putImageData(this.#pixels, this.#columns % this.#picture.width, 0);
    this.#columns += 1;
    this.#pending = 0;
    this.#loudest.fill(-Infinity);
  }

  /** Show it, the newest on the right once it is full. */
  draw() {
    const canvas = this.#canvas;
    const density = globalThis.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * density);
    const height = Math.round(canvas.clientHeight * density);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const brush = canvas.getContext("2d");
    const columns = this.#picture.width;
    const oldest = Math.max(0, this.#columns - columns);
    const seam = oldest % columns;
    const scale = width / columns;
    brush.imageSmoothingEnabled = false;
    const drawPart = (first, count, left) => {
      const bands = this.#picture.height;
      brush.drawImage(this.#picture, first, 0, count, bands, left * scale, 0, count * scale, height);
    };
    drawPart(seam, columns - seam, 0);
    if (seam > 0) drawPart(0, seam, columns - seam);
    this.#drawMarks(brush, oldest, scale, density);
  }

  #drawMarks(brush, oldest, scale, density) {
    brush.font = `600 ${13 * density}px system-ui, sans-serif`;
    brush.textBaseline = "top";
    for (const { column, label } of this.#marks) {
      const x = (column - oldest) * scale;
      const width = brush.measureText(label).width + 8 * density;
      brush.fillStyle = "rgb(255 255 255 / 0.85)";
      brush.fillRect(x - density, 0, 2 * density, this.#canvas.height);
      const left = Math.max(0, Math.min(x - width, this.#canvas.width - width));
      brush.fillStyle = "rgb(0 0 0 / 0.72)";
      brush.fillRect(left, 6 * density, width, 20 * density);
      brush.fillStyle = "#fff";
      brush.fillText(label, left + 4 * density, 9.5 * density);
    }
  }
}
