/* capture.js - an audio worklet that sends the first channel of its input, in blocks. */
const BLOCK = 4096;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.used = 0;
  }

  process([input]) {
    for (const sample of input[0] ?? []) {
      this.block[this.used++] = sample;
      if (this.used === BLOCK) {
        this.port.postMessage(this.block);
        this.used = 0;
      }
    }
    return true;
  }
}

registerProcessor('capture', Capture);
