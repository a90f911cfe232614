/*
 * spectrogram.js - draws a spectrogram, and over it the events that were heard.
 */

const LIVE = 10; /* the last seconds, which are shown while the page listens */

export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  clear() {
    this.columns = new Uint8Array(0);
    this.rows = this.perSecond = 1;
    this.events = [];
    this.whole = false;
    this.draw();
  }

  /* Adds columns of `rows` levels, 0 to 255, the lowest frequency first. */
  add({columns, rows, perSecond}) {
    const all = new Uint8Array(this.columns.length + columns.length);
    all.set(this.columns);
    all.set(columns, this.columns.length);
    Object.assign(this, {columns: all, rows, perSecond});
    this.draw();
  }

  /* Adds an event, which replaces its earlier form if it had begun and not ended. */
  mark(event) {
    const known = this.events.findIndex(item => item.name === event.name && !item.ends);
    if (known >= 0) this.events[known] = event;
    else this.events.push(event);
    this.draw();
  }

  /* Shows the whole recording instead of the last seconds. */
  finish() {
    this.whole = true;
    this.draw();
  }

  /* Returns [the first second that is shown, the number of seconds]. */
  span() {
    const length = this.columns.length / this.rows / this.perSecond;
    return this.whole ? [0, Math.max(length, .5)] : [Math.max(0, length - LIVE), LIVE];
  }

  draw() {
    const {canvas} = this, context = canvas.getContext('2d');
    const style = getComputedStyle(canvas), scale = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    const {width, height} = canvas, [from, seconds] = this.span();
    const first = Math.floor(from * this.perSecond), count = Math.ceil(seconds * this.perSecond);
    const image = new ImageData(count, this.rows);
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    for (let c = 0; c < count; c++)
      for (let row = 0; row < this.rows; row++) {
        const level = this.columns[(first + c) * this.rows + row] ?? 0;
        const at = 4 * ((this.rows - 1 - row) * count + c);
        image.data.fill(dark ? level : 255 - level, at, at + 3);
        image.data[at + 3] = 255;
      }
    const part = new OffscreenCanvas(count, this.rows);
    part.getContext('2d').putImageData(image, 0, 0);
    context.drawImage(part, 0, 0, width, height);
    this.drawEvents(context, style, scale, second => (second - from) / seconds * width);
  }

  /* Writes words into several rows, so that neighbours do not hide each other. */
  drawEvents(context, style, scale, place) {
    const size = 14 * scale, ends = [];
    const accent = style.getPropertyValue('--accent'), ink = style.getPropertyValue('--accent-ink');
    context.font = `bold ${size}px system-ui, sans-serif`;
    context.textBaseline = 'top';
    for (const {name, start, end} of this.events) {
      const x = place(start), wide = context.measureText(name).width + size;
      let row = ends.findIndex(last => last < x);
      if (row < 0) row = ends.length;
      ends[row] = Math.max(x + wide, place(end));
      const y = row * 1.7 * size + .3 * size;
      context.fillStyle = accent;
      context.globalAlpha = .3;
      context.fillRect(x, 0, place(end) - x, context.canvas.height);
      context.globalAlpha = 1;
      context.fillRect(x, y, wide, 1.4 * size);
      context.fillStyle = ink;
      context.fillText(name, x + .5 * size, y + .2 * size);
    }
  }
}
