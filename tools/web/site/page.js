/*
 * page.js - the four parts of the page: sound, picture, translation, play.
 */
import {Engine} from './engine.js';
import {decodeRecording, Microphone} from './sound.js';
import {Spectrogram} from './spectrogram.js';

const percent = share => `${(100 * share).toFixed(1)} %`;

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/* A section of the page, with its model. */
class Part {
  constructor(id, model) {
    this.section = document.getElementById(id);
    this.state = this.find('.state');
    this.engine = new Engine(model);
  }

  find(selector) {
    return this.section.querySelector(selector);
  }

  say(text) {
    this.state.className = 'state';
    this.state.textContent = text;
  }

  /* Does some work, and shows its error if it fails. Returns whether it succeeded. */
  async attempt(work) {
    try {
      await work();
      return true;
    } catch (error) {
      this.state.className = 'state error';
      this.state.textContent = error.message;
      return false;
    }
  }

  /* Loads the model unless it is loaded. */
  async ready() {
    const model = this.engine.model;
    const {rate} = await this.engine.start(
      share => this.say(`Loading the model ${model}: ${Math.round(100 * share)} %`));
    this.rate = rate;
    this.say('');
  }

  /* Calls `take` with a file that is chosen in the input or dropped on the section. */
  onFile(take) {
    const input = this.find('input[type=file]'), drop = this.find('.drop');
    input.onchange = () => input.files[0] && take(input.files[0]);
    this.section.ondragover = event => {
      event.preventDefault();
      drop.classList.add('over');
    };
    this.section.ondragleave = () => drop.classList.remove('over');
    this.section.ondrop = event => {
      event.preventDefault();
      drop.classList.remove('over');
      const file = event.dataTransfer.files[0];
      if (file) take(file);
    };
  }

  /* Makes the button draw the picture of explain. `input` returns the call's name and arguments. */
  explains(input) {
    const button = this.find('.explain'), figure = this.find('figure');
    button.onclick = () => this.attempt(async () => {
      button.disabled = true;
      this.say('Drawing …');
      try {
        const {image, title, words} = await this.engine.ask(...input());
        const canvas = figure.querySelector('canvas');
        canvas.width = image.width;
        canvas.height = image.height;
        canvas.getContext('bitmaprenderer').transferFromImageBitmap(image);
        canvas.setAttribute('role', 'img');
        canvas.setAttribute('aria-label', `${title}\n${words}`);
        figure.hidden = false;
        this.section.classList.add('wide');
        this.say('');
      } finally {
        button.disabled = false;
      }
    });
  }

  /* Enables the button if there is something to explain, and hides the last picture. */
  offer(explainable) {
    this.find('.explain').disabled = !explainable;
    this.find('figure').hidden = true;
    this.section.classList.remove('wide');
  }
}

/* ---- Sound ------------------------------------------------------------------------------------ */

const MOST_KEPT = 60; /* seconds of the microphone's sound that are kept */

class SoundPart extends Part {
  constructor() {
    super('sound', 'speech-commands');
    this.view = new Spectrogram(this.find('.spectrogram'));
    this.list = this.find('.events');
    this.microphone = new Microphone();
    this.button = this.find('.listen');
    this.button.onclick = () => this.listening ? this.stop() : this.listen();
    this.onFile(file => this.open(file));
    this.explains(() => ['explainSound', [this.clip, this.clipRate]]);
    addEventListener('resize', () => this.view.draw());
  }

  clear() {
    this.view.clear();
    this.list.replaceChildren();
    this.heard = [];
    this.dropped = 0;
    this.offer(false);
  }

  /* Takes what the worker reports about a recording. */
  take(part) {
    if (part.columns) this.view.add(part);
    if (part.warning) this.say(part.warning);
    if (!part.event) return;
    const {event} = part;
    this.view.mark(event);
    if (!event.ends)
      this.list.append(make('li', {}, make('strong', {textContent: event.name}),
        ` ${percent(event.probability)} at ${event.start.toFixed(2)} s`));
  }

  async open(file) {
    await this.stop();
    await this.attempt(async () => {
      this.clear();
      await this.ready();
      const samples = await decodeRecording(file, this.rate);
      await this.engine.ask('hear', [samples, this.rate], part => this.take(part));
      await this.engine.ask('hearEnd', [], part => this.take(part));
      this.view.finish();
      this.keep(samples, this.rate);
      this.say(this.view.events.length ? '' : 'No word was heard.');
    });
  }

  /*
   * Listening begins after what was heard before has ended, and ends after it has begun, however
   * fast the button is pressed: a microphone that starts late would stay open.
   */
  listen() {
    this.listening = true;
    this.button.textContent = 'Stop';
    this.button.setAttribute('aria-pressed', 'true');
    this.begun = this.begin();
  }

  async stop() {
    if (this.listening) {
      this.listening = false;
      this.button.textContent = 'Listen';
      this.button.setAttribute('aria-pressed', 'false');
      this.ended = this.end();
    }
    await this.ended;
  }

  /* Returns whether the microphone is open. */
  async begin() {
    await this.ended;
    this.clear();
    const good = await this.attempt(async () => {
      await this.ready();
      await this.microphone.start((samples, rate) => this.hear(samples, rate));
      if (this.listening) this.say('Listening …');
    });
    if (!good) this.stop();
    return good;
  }

  async end() {
    const good = await this.begun;
    await this.microphone.stop();
    if (!good) return;
    if (!this.heard.length) {
      this.say('Nothing was heard.');
      return;
    }
    await this.attempt(async () => {
      await this.engine.ask('hearEnd', [], part => this.take(part));
      this.say(this.view.events.length ? '' : 'No word was heard.');
      const all = new Float32Array(await new Blob(this.heard).arrayBuffer());
      this.keep(all, this.heardRate);
    });
  }

  hear(samples, rate) {
    if (!this.listening) return;
    this.heard.push(samples);
    this.heardRate = rate;
    while (this.heard.length * samples.length > MOST_KEPT * rate)
      this.dropped += this.heard.shift().length;
    this.attempt(() => this.engine.ask('hear', [samples, rate], part => this.take(part)));
  }

  /* Keeps one second for explain: the last word that was heard, or the beginning. */
  keep(samples, rate) {
    const last = this.view.events.at(-1);
    const from = last ? Math.max(0, Math.round(last.start * rate) - this.dropped) : 0;
    this.clip = samples.slice(from, from + rate);
    this.clipRate = rate;
    this.offer(this.clip.length > 0);
  }
}

/* ---- Pictures --------------------------------------------------------------------------------- */

class PicturePart extends Part {
  constructor() {
    super('picture', 'cifar10');
    this.onFile(file => this.open(file));
    this.explains(() => ['explainPicture', this.pixels]);
  }

  async open(file) {
    await this.attempt(async () => {
      this.offer(false);
      this.find('.labels').replaceChildren();
      this.find('.thumbnail').hidden = true;
      this.pixels = await this.decode(file);
      await this.ready();
      const labels = await this.engine.ask('classifyPicture', this.pixels,
        part => this.say(part.warning));
      this.find('.labels').replaceChildren(...labels.slice(0, 5).map(({name, probability}) =>
        make('tr', {}, make('th', {scope: 'row', textContent: name}),
          make('td', {}, make('meter', {value: probability})),
          make('td', {textContent: percent(probability)}))));
      this.offer(true);
    });
  }

  /* Returns pixels [height][width][3] with width and height, and shows the picture. */
  async decode(file) {
    let image;
    try {
      image = await createImageBitmap(file, {colorSpaceConversion: 'none', premultiplyAlpha: 'none'});
    } catch (error) {
      throw new Error(`${file.name} is not a picture that this browser can decode.`);
    }
    const {width, height} = image, canvas = this.find('.thumbnail');
    Object.assign(canvas, {width, height, hidden: false});
    const context = canvas.getContext('2d', {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    const pixels = new Uint8Array(3 * width * height);
    for (let i = 0; i < width * height; i++)
      pixels.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
    return [pixels, width, height];
  }
}

/* ---- Texts ------------------------------------------------------------------------------------ */

const LANGUAGES = {en: 'English', de: 'German'};

class TranslatePart extends Part {
  constructor() {
    super('translate', 'everyday-en-de');
    this.engines = new Map([[this.engine.model, this.engine]]);
    this.source = this.find('textarea');
    this.target = this.find('output');
    this.source.oninput = () => this.translate();
    this.find('select').onchange = event => this.turn(event.target.value);
    this.explains(() => ['explainTranslation', [this.source.value.split('\n').find(line => line)]]);
  }

  /* Changes to another model, whose name ends with its two languages. */
  turn(model) {
    if (!this.engines.has(model)) this.engines.set(model, new Engine(model));
    this.engine = this.engines.get(model);
    [this.source.lang, this.target.lang] = model.split('-').slice(-2);
    for (const field of [this.source, this.target])
      this.find(`label[for=${field.id}]`).textContent = LANGUAGES[field.lang];
    this.translate();
  }

  /* Identifies a translation by the model's name and the text. */
  get asked() { return `${this.engine.model}\n${this.source.value}`; }

  /* Translates the current text. Text that is typed meanwhile is translated next, once. */
  async translate() {
    if (this.busy) return;
    this.busy = true;
    await this.attempt(async () => {
      this.state.classList.remove('error');
      while (this.asked !== this.done) {
        const asked = this.asked, text = this.source.value, engine = this.engine, lines = [];
        await this.ready();
        for (const line of text.split('\n')) {
          lines.push(line.trim() ?
            (await engine.ask('translate', [line], part => this.say(part.warning ?? ''))).text : '');
          this.target.textContent = lines.join('\n');
        }
        this.done = asked;
      }
      this.offer(this.source.value.trim() !== '');
    });
    this.busy = false;
  }
}

class PlayPart extends Part {
  constructor() {
    super('play', 'shakespeare-lm');
    this.find('.go').onclick = () => this.go();
    this.find('.stop').onclick = () => this.end('Stopped.');
    this.explains(() => ['explainReading', [this.find('output').textContent]]);
  }

  number(name) {
    const field = this.find(name);
    if (!field.reportValidity() || field.value === '')
      throw new Error(`${field.parentElement.textContent.trim()} must be a number from ${field.min} to ${field.max}.`);
    return Number(field.value);
  }

  async go() {
    const output = this.find('output'), prompt = this.find('textarea').value;
    await this.attempt(async () => {
      const numbers = ['.length', '.temperature', '.seed'].map(name => this.number(name));
      this.find('.go').disabled = true;
      this.offer(false);
      await this.ready();
      this.find('.stop').disabled = false;
      output.textContent = prompt;
      await this.engine.ask('generate', [prompt, ...numbers], part => {
        if (part.text) output.append(part.text);
        if (part.warning) this.say(part.warning);
      });
    });
    this.end();
  }

  /* A call cannot be interrupted, so its worker is ended; the next one needs no loading. */
  end(sentence) {
    if (sentence) {
      this.engine.stop();
      this.say(sentence);
    }
    this.find('.go').disabled = false;
    this.find('.stop').disabled = true;
    this.offer(this.find('output').textContent !== '');
  }
}

new SoundPart();
new PicturePart();
new TranslatePart();
new PlayPart();
