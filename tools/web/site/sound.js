/*
 * sound.js - gets samples from the microphone, and from recordings that the browser decodes.
 */

const REASONS = {
  NotAllowedError: 'it was not allowed',
  NotFoundError: 'there is none',
  NotReadableError: 'another program uses it',
};

/* Listens until stop() is called. `take` receives blocks of samples and their rate. */
export class Microphone {
  async start(take) {
    if (!navigator.mediaDevices)
      throw new Error('A page can use the microphone only if it comes by https or from this machine.');
    try {
      this.stream = await navigator.mediaDevices.getUserMedia(
        {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}});
    } catch (error) {
      throw new Error(`The microphone cannot be used: ${REASONS[error.name] ?? error.message}.`);
    }
    if (!this.context) {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule('capture.js');
    }
    await this.context.resume();
    this.capture = new AudioWorkletNode(this.context, 'capture', {numberOfOutputs: 0});
    this.capture.port.onmessage = event => take(event.data, this.context.sampleRate);
    this.source = this.context.createMediaStreamSource(this.stream);
    this.source.connect(this.capture);
  }

  /*
   * After this call `take` receives nothing more. The context is kept, so that listening again
   * loads nothing.
   */
  async stop() {
    if (this.capture) this.capture.port.onmessage = null;
    this.source?.disconnect();
    this.stream?.getTracks().forEach(track => track.stop());
    this.capture = this.source = this.stream = null;
    await this.context?.suspend();
  }
}

/* Returns the samples of a recording at that rate, with its channels averaged. */
export async function decodeRecording(file, rate) {
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch (error) {
    throw new Error(`${file.name} is not a recording that this browser can decode.`);
  }
  const samples = new Float32Array(buffer.length), channels = buffer.numberOfChannels;
  for (let c = 0; c < channels; c++) {
    const channel = buffer.getChannelData(c);
    for (let i = 0; i < samples.length; i++) samples[i] += channel[i] / channels;
  }
  return samples;
}
