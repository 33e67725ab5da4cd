// The engine at the other end of a transport: {send(text), onmessage, onfail}. A Web Worker is one, a
// WebSocket to t2 serve another, and nobody else here can tell.

const VERSION = 1;

export class Engine {
  #transport;
  #open = new Map();
  #last = 0;
  #failed = null; // why it is gone: {code, message}

  constructor(transport) {
    this.#transport = transport;
    transport.onmessage = (text) => this.#hear(JSON.parse(text));
    transport.onfail = (message, code = "internal") => {
      this.#failed ??= { code, message };
      for (const [id] of this.#open) this.#hear({ id, type: "error", body: this.#failed });
    };
  }

  // request asks for something and gives its result. onEvent hears the events before it; an
  // AbortSignal cancels it. The promise that it gives has the request's id, for control.
  request(type, body = {}, { onEvent = () => {}, signal } = {}) {
    const id = ++this.#last;
    const promise = new Promise((resolve, reject) => {
      this.#open.set(id, { onEvent, resolve, reject });
      if (this.#failed) { this.#hear({ id, type: "error", body: this.#failed }); return; }
      this.#transport.send(JSON.stringify({ v: VERSION, id, type, body }));
      signal?.addEventListener("abort", () => this.control(id, "cancel"), { once: true });
    });
    promise.id = id;
    return promise;
  }

  // workers is how many of it there are.
  get workers() { return 1; }

  // close ends it; what is open fails.
  close() {
    this.#transport.close?.();
    this.#transport.onfail("the engine was closed");
  }

  // control pauses, resumes, steps or cancels a request; one that is closed by now needs none.
  control(target, action) {
    if (this.#open.has(target)) this.request("control", { target, action }).catch(() => {});
  }

  #hear({ id, type, body }) {
    const r = this.#open.get(id);
    if (!r) return;
    if (type === "result") { this.#open.delete(id); r.resolve(body); }
    else if (type === "error") {
      this.#open.delete(id);
      r.reject(Object.assign(new Error(body.message), { code: body.code }));
    } else r.onEvent(type, body);
  }
}

// inWorker starts the engine in a Web Worker, on a device: "auto", "gpu" or "cpu".
// onnotice hears what is not about a request.
export function inWorker(manifest, base, onnotice, device = "auto") {
  const worker = new Worker(new URL("./worker.js", import.meta.url));
  const transport = { send: (text) => worker.postMessage(text), close: () => worker.terminate() };
  worker.onmessage = (e) => (typeof e.data === "string" ? transport.onmessage(e.data) : onnotice(e.data.notice));
  worker.onerror = (e) => { e.preventDefault(); transport.onfail(e.message || "the worker stopped"); };
  worker.postMessage({ manifest, base, device });
  return transport;
}

// overSocket talks to an engine that t2 serve runs beside the page.
export function overSocket(url) {
  const socket = new WebSocket(url.href.replace(/^http/, "ws")), waiting = [];
  const transport = {
    send: (text) => (socket.readyState === WebSocket.CONNECTING ? waiting.push(text) : socket.send(text)),
    close: () => socket.close(),
  };
  socket.onopen = () => { for (const text of waiting.splice(0)) socket.send(text); };
  socket.onmessage = (e) => transport.onmessage(e.data);
  socket.onclose = (e) => transport.onfail(e.reason, "lost");
  return transport;
}
