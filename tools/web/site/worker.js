/*
 * worker.js - runs one model (mega_web.h) for engine.js. A message {id, name, args} is answered by
 * {id, result} or {id, error}, with `stopped` if the module cannot be used any more. While a call
 * runs, messages {id, part} pass on what the module reports.
 */
import {Module} from './module.js';

let model = null;

const ROWS = 128;      /* rows of the spectrogram */
const HIGHEST = 8000;  /* frequency of its top row, in Hz */
const COLUMNS = 50;    /* columns a second */
const DECIBELS = 70;   /* difference of white and black */
let sound = null;      /* samples that are not in a column yet */

/* Makes as many columns of the spectrogram, [ROWS] each, as there are samples for. */
function columnsOf(samples, rate) {
  const n = rate > 24000 ? 1024 : 512, hop = Math.round(rate / COLUMNS);
  const all = new Float32Array((sound?.length ?? 0) + samples.length);
  if (sound) all.set(sound);
  all.set(samples, sound?.length ?? 0);
  const count = Math.max(0, Math.floor((all.length - n) / hop) + 1);
  const columns = new Uint8Array(count * ROWS), full = 20 * Math.log10(n / 4);
  const hann = Float32Array.from({length: n}, (_, i) => .5 - .5 * Math.cos(2 * Math.PI * (i + .5) / n));
  for (let c = 0; c < count; c++) {
    const power = model.spectrum(all.subarray(c * hop, c * hop + n).map((x, i) => x * hann[i]));
    for (let row = 0; row < ROWS; row++) {
      const bin = Math.min(n / 2 - 1, Math.round(row / ROWS * HIGHEST * n / rate));
      const level = 10 * Math.log10(Math.max(power[bin], 1e-12)) - full;
      columns[c * ROWS + row] = 255 * Math.max(0, Math.min(1, 1 + (level + 10) / DECIBELS));
    }
  }
  sound = all.slice(count * hop);
  return columns;
}

const calls = {
  async open(code, bytes) {
    model = await Module.open(code, bytes);
    return {rate: model.rate()};
  },
  /* Classifies samples, and reports {columns} of the spectrogram and each {event}. */
  hear(samples, rate) {
    model.tell({columns: columnsOf(samples, rate), rows: ROWS, perSecond: COLUMNS});
    model.hear(samples, rate);
  },
  hearEnd() {
    sound = null;
    model.hearEnd();
  },
  classifySound: (samples, rate) => model.classifySound(samples, rate),
  classifyPicture: (pixels, width, height) => model.classifyPicture(pixels, width, height),
  translate: text => model.translate(text),
  generate: (prompt, length, temperature, seed) => model.generate(prompt, length, temperature, seed),
  explainSound: (samples, rate) => model.explainSound(samples, rate),
  explainPicture: (pixels, width, height) => model.explainPicture(pixels, width, height),
  explainTranslation: text => model.explainTranslation(text),
  explainReading: text => model.explainReading(text),
};

/* Messages are answered in order; opening is the only one that waits. */
let last = Promise.resolve();
onmessage = event => {
  const {id, name, args} = event.data;
  last = last.then(async () => {
    try {
      if (model) model.tell = part => postMessage({id, part});
      postMessage({id, result: await calls[name](...args)});
    } catch (error) {
      const stopped = error instanceof WebAssembly.RuntimeError;
      postMessage({id, stopped,
        error: stopped ? `The engine has stopped: ${error.message}.` : error.message});
    }
  });
};
