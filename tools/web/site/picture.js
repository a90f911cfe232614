/*
 * picture.js - draws a picture of explain on a canvas, by the functions of
 * tools/run/pictures/surface.h. Their first argument, the surface, is not needed here.
 */

const DETAIL = 2; /* pixels of the canvas per unit of length */

export class Picture {
  /* `memory` returns the module's buffer, and `text` the text at an address. */
  constructor(memory, text) {
    const context = () => this.context;
    const colour = (at, opacity = 1) => {
      const parts = new Float64Array(memory().slice(at, at + 24));
      return `rgb(${[...parts].map(part => Math.round(255 * part)).join(' ')} / ${opacity})`;
    };
    const use = (paint, draw) => {
      paint();
      draw();
      context().beginPath();
    };
    const stroke = (at, width, join, dashes) => use(() => {
      Object.assign(context(), {strokeStyle: colour(at), lineWidth: width, lineJoin: join});
      context().setLineDash(dashes);
    }, () => context().stroke());
    this.functions = {
      page_picture_begin: (width, height) => this.begin(width, height),
      page_picture_end: (title, words) => {
        this.title = text(title);
        this.words = text(words).trim();
      },
      surface_move: (_, x, y) => context().moveTo(x, y),
      surface_line: (_, x, y) => context().lineTo(x, y),
      surface_close: () => context().closePath(),
      surface_rectangle: (_, x, y, width, height) => context().rect(x, y, width, height),
      surface_circle: (_, x, y, radius) => {
        context().moveTo(x + radius, y);
        context().arc(x, y, radius, 0, 2 * Math.PI);
      },
      surface_stroke: (_, at, width, dashed) => stroke(at, width, 'round', dashed ? [5, 3] : []),
      surface_outline: (_, at) => stroke(at, 1, 'miter', []),
      surface_fill: (_, at, opacity) => use(() => { context().fillStyle = colour(at, opacity); },
        () => context().fill()),
      surface_clip: (_, x, y, width, height) => {
        context().save();
        context().beginPath();
        context().rect(x, y, width, height);
        context().clip();
        context().beginPath();
      },
      surface_unclip: () => context().restore(),
      surface_font: (_, size, bold, mono) => {
        const family = mono ? '"DejaVu Sans Mono", monospace' : '"DejaVu Sans", sans-serif';
        context().font = `${bold ? 'bold ' : ''}${size}px ${family}`;
      },
      surface_text_width: (_, at) => context().measureText(text(at)).width,
      surface_text: (_, x, y, angle, before, at, ink) => {
        context().save();
        context().fillStyle = colour(ink);
        context().translate(x, y);
        context().rotate(angle);
        context().fillText(text(at), -before, 0);
        context().restore();
      },
      surface_pixels: (_, x, y, scale, width, height, at) => {
        this.pixels(x, y, scale, new Uint32Array(memory(), at, width * height), width, height);
        return 1;
      },
    };
  }

  begin(width, height) {
    this.canvas = new OffscreenCanvas(DETAIL * width, DETAIL * height);
    this.context = this.canvas.getContext('2d');
    this.context.scale(DETAIL, DETAIL);
    this.context.fillStyle = 'white';
    this.context.fillRect(0, 0, width, height);
    this.context.beginPath();
  }

  pixels(x, y, scale, pixels, width, height) {
    const image = new ImageData(width, height), bytes = image.data;
    for (let i = 0; i < pixels.length; i++) {
      bytes[4 * i] = pixels[i] >> 16 & 255;
      bytes[4 * i + 1] = pixels[i] >> 8 & 255;
      bytes[4 * i + 2] = pixels[i] & 255;
      bytes[4 * i + 3] = 255;
    }
    const part = new OffscreenCanvas(width, height);
    part.getContext('2d').putImageData(image, 0, 0);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(part, x, y, scale * width, scale * height);
  }

  /* Returns the picture that was drawn, and its texts. */
  take() {
    return {image: this.canvas.transferToImageBitmap(), title: this.title, words: this.words};
  }
}
