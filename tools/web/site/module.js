/*
 * module.js - the functions of mega_web.h for values of JavaScript, and those of page.h, which the
 * module calls. Memory that is made for a call is freed after it.
 */
import {Picture} from './picture.js';

const ENOSYS = 52;

/* The functions that wasi-libc imports from a system. There are no files, only a failed assertion
 * writes anything, and the environment is empty. */
function system(code, memory) {
  const known = {
    clock_time_get(clock, precision, out) {
      memory().setBigUint64(out, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
    environ_sizes_get(count, size) {
      memory().setUint32(count, 0, true);
      memory().setUint32(size, 0, true);
      return 0;
    },
    proc_exit(status) {
      throw new Error(`The engine has ended with status ${status}.`);
    },
  };
  const names = WebAssembly.Module.imports(code)
    .filter(item => item.module === 'wasi_snapshot_preview1').map(item => item.name);
  return Object.fromEntries(names.map(name => [name, known[name] ?? (() => ENOSYS)]));
}

export class Module {
  static async open(code, bytes) {
    const module = new Module();
    await module.#begin(code);
    const at = module.#put(bytes);
    module.model = module.exports.web_open(at, bytes.length);
    if (!module.model) throw new Error('There is not enough memory for the model.');
    const error = module.#text(module.exports.web_error(module.model));
    if (error) {
      module.exports.web_close(module.model);
      throw new Error(error);
    }
    return module;
  }

  /* Receives what a call reports while it runs; the caller replaces it. */
  tell() {}

  async #begin(code) {
    const view = () => new DataView(this.exports.memory.buffer);
    this.picture = new Picture(() => this.exports.memory.buffer, at => this.#text(at));
    const page = {
      page_label: (name, probability) => this.labels.push({name: this.#text(name), probability}),
      page_event: (ends, name, start, end, probability) =>
        this.tell({event: {ends: ends !== 0, name: this.#text(name), start, end, probability}}),
      page_text: (at, size) => {
        const text = this.decoder.decode(new Uint8Array(this.exports.memory.buffer, at, size),
          {stream: true});
        this.made += text;
        this.tell({text});
      },
      page_score: score => { this.score = score; },
      page_warn: sentence => this.tell({warning: this.#text(sentence)}),
    };
    const instance = await WebAssembly.instantiate(code, {
      env: {...page, ...this.picture.functions},
      wasi_snapshot_preview1: system(code, view),
    });
    this.exports = instance.exports;
    this.exports._initialize();
  }

  #text(at) {
    const bytes = new Uint8Array(this.exports.memory.buffer, at);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  /* Copies a typed array into the module's memory, and returns its address there. */
  #put(array) {
    const at = this.exports.web_alloc(array.byteLength);
    if (!at) throw new Error('There is not enough memory for the input.');
    new Uint8Array(this.exports.memory.buffer, at, array.byteLength)
      .set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return at;
  }

  /* Calls name(model, array, ...more), and throws an error with its sentence if that fails. */
  #call(name, array, ...more) {
    this.labels = [];
    this.made = '';
    this.score = null;
    this.decoder = new TextDecoder();
    const at = this.#put(array);
    const code = this.exports[name](this.model, at, ...more);
    this.exports.web_free(at);
    if (code) throw new Error(this.#text(this.exports.web_error(this.model)));
  }

  rate() {
    return this.exports.web_rate(this.model);
  }

  spectrum(samples) {
    const at = this.#put(samples);
    this.exports.web_spectrum(at, samples.length, at);
    const power = new Float32Array(this.exports.memory.buffer, at, samples.length / 2).slice();
    this.exports.web_free(at);
    return power;
  }

  hear(samples, rate) {
    this.#call('web_hear', samples, samples.length, rate);
  }

  hearEnd() {
    if (this.exports.web_hear_end(this.model))
      throw new Error(this.#text(this.exports.web_error(this.model)));
  }

  classifySound(samples, rate) {
    this.#call('web_classify_sound', samples, samples.length, rate);
    return this.labels;
  }

  classifyPicture(pixels, width, height) {
    this.#call('web_classify_picture', pixels, width, height);
    return this.labels;
  }

  translate(text) {
    const bytes = new TextEncoder().encode(text);
    this.#call('web_translate', bytes, bytes.length);
    return {text: this.made, score: this.score};
  }

  generate(prompt, length, temperature, seed) {
    const bytes = new TextEncoder().encode(prompt);
    this.#call('web_generate', bytes, bytes.length, length, temperature, seed);
    return this.made;
  }

  explainSound(samples, rate) {
    this.#call('web_explain_sound', samples, samples.length, rate);
    return this.picture.take();
  }

  explainPicture(pixels, width, height) {
    this.#call('web_explain_picture', pixels, width, height);
    return this.picture.take();
  }

  explainTranslation(text) {
    const bytes = new TextEncoder().encode(text);
    this.#call('web_explain_translation', bytes, bytes.length);
    return this.picture.take();
  }

  explainReading(text) {
    const bytes = new TextEncoder().encode(text);
    this.#call('web_explain_reading', bytes, bytes.length);
    return this.picture.take();
  }
}
