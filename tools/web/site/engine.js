/*
 * engine.js - a model that runs in a worker of its own, to which the page sends messages.
 *
 * The compiled module and the bytes of models are kept here, so that a worker that was stopped is
 * replaced without another request.
 */

let compiled = null;
const files = new Map();

/* Returns the bytes of a file, and calls `progress` with the share that has arrived. */
async function load(url, progress) {
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new Error(`${url} cannot be loaded: the server does not answer.`);
  }
  if (!response.ok) throw new Error(`${url} cannot be loaded: the server answers ${response.status}.`);
  const whole = Number(response.headers.get('Content-Length')), parts = [];
  let size = 0;
  for (const reader = response.body.getReader();;) {
    const {value, done} = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (whole && progress) progress(Math.min(1, size / whole));
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/* Keeps the promise of a value, and forgets it if it fails, so that it is made again. */
function kept(map, key, make) {
  if (!map.has(key)) {
    const promise = make();
    map.set(key, promise);
    promise.catch(() => map.delete(key));
  }
  return map.get(key);
}

async function module() {
  compiled ??= load('mega.wasm').then(bytes => WebAssembly.compile(bytes));
  try {
    return await compiled;
  } catch (error) {
    compiled = null;
    throw error instanceof WebAssembly.CompileError ?
      new Error('This browser cannot run the engine: it needs WebAssembly with vectors.') : error;
  }
}

export class Engine {
  /* `model` is the name of a file in models/. */
  constructor(model) {
    this.model = model;
    this.worker = null;
    this.waiting = new Map();
    this.next = 0;
  }

  /* Loads what is not loaded yet; resolves when the model can run. */
  async start(progress) {
    this.started ??= this.#begin(progress);
    try {
      return await this.started;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  async #begin(progress) {
    const url = `models/${this.model}.mega`;
    const [code, bytes] = await Promise.all([module(), kept(files, url, () => load(url, progress))]);
    this.worker = new Worker('worker.js', {type: 'module'});
    this.worker.onmessage = event => this.#take(event.data);
    this.worker.onerror = event => this.#fail(event.message);
    return this.#send('open', [code, bytes]);
  }

  /* Calls a function of the worker. `part` receives what it reports while it runs. */
  async ask(name, args, part) {
    await this.start();
    return this.#send(name, args, part);
  }

  #send(name, args, part) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, {resolve, reject, part});
      this.worker.postMessage({id, name, args});
    });
  }

  #take({id, part, result, error, stopped}) {
    const call = this.waiting.get(id);
    if (!call) return;
    if (part) {
      call.part?.(part);
      return;
    }
    this.waiting.delete(id);
    if (stopped) this.stop();
    if (error) call.reject(new Error(error));
    else call.resolve(result);
  }

  #fail(message) {
    const calls = [...this.waiting.values()];
    this.stop();
    for (const call of calls) call.reject(new Error(`The engine has stopped: ${message}`));
  }

  /* Ends the worker, and with it a call that runs, whose promise never resolves. */
  stop() {
    this.worker?.terminate();
    this.worker = this.started = null;
    this.waiting.clear();
  }
}
