// The Web Worker: brings the engine and a model's files, and carries messages. It is a classic
// script because Go's wasm_exec.js is one.
"use strict";
importScripts("wasm_exec.js");

const CACHE = "t2-files";
let manifest, base, device, started;

globalThis.t2emit = (json) => postMessage(json);

onmessage = ({ data }) => {
  if (data.manifest) {
    ({ manifest, base, device } = data);
    started = start();
    started.catch(() => {}); // whoever asks first hears of it
    return;
  }
  deliver(data);
};

// deliver hands a request to the engine once that is there; a load waits for its files first.
async function deliver(text) {
  const request = JSON.parse(text);
  const stop = request.type === "control" && request.body.action === "cancel" && fetching.get(request.body.target);
  if (stop) { stop.abort(); answer(request.id, "result"); return; }
  try {
    if (request.type === "load") await fetchModel(request); else await started;
  } catch (e) {
    answer(request.id, "error", { code: e.code ?? "internal", message: e.message });
    return;
  }
  t2.send(text);
}

function answer(id, type, body) { postMessage(JSON.stringify({ v: 1, id, type, body })); }

// fault is an error that the page has a sentence for.
const fault = (code, file) => Object.assign(new Error(file.name), { code });

async function start() {
  const [file] = await Promise.all([bringOne(manifest.engine, () => {}), choose()]);
  const ready = new Promise((resolve) => { globalThis.t2ready = resolve; });
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(file, go.importObject);
  go.run(instance);
  await ready;
}

// choose tells the engine which GPU to try. Left alone, it takes none that the processor plays.
async function choose() {
  globalThis.t2gpu = "";
  if (device === "cpu") { globalThis.t2why = "the processor, as asked"; return; }
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const info = adapter?.info ?? {}, played = info.isFallbackAdapter ?? adapter?.isFallbackAdapter;
  if (!adapter) globalThis.t2why = "the processor, since this browser offers no GPU";
  else if (played && device !== "gpu") globalThis.t2why = "the processor, since it plays the GPU here";
  else globalThis.t2gpu = [info.vendor, info.architecture].filter(Boolean).join(" ") || "the browser's GPU";
}

const held = new Set();
const fetching = new Map(); // a load that is open -> what ends its fetching

// fetchModel brings the files of a model that the engine does not have yet.
async function fetchModel(request) {
  const name = request.body.model;
  const model = manifest.models[name];
  if (!model || held.has(name)) return; // the engine itself refuses a name that nobody knows
  const end = new AbortController();
  fetching.set(request.id, end);
  const total = model.reduce((n, f) => n + f.bytes, 0);
  let done = 0;
  try {
    const [files] = await Promise.all([Promise.all(model.map((f) => bringOne(f, (n) => {
      done += n;
      answer(request.id, "progress", { stage: "fetch", unit: "bytes", done, total });
    }, end.signal))), started]);
    model.forEach((f, i) => t2.addFile(name + "/" + f.name, new Uint8Array(files[i])));
    held.add(name);
  } finally { fetching.delete(request.id); }
}

// bringOne gives a file from the cache or from where the page came from, checked by its hash.
async function bringOne(file, progress, signal) {
  const cache = await caches.open(CACHE).catch(() => null); // storage may be blocked
  const url = new URL(file.path, base).href;
  const kept = await cache?.match(url);
  if (kept) {
    const data = await kept.arrayBuffer();
    if (await sha256(data) === file.sha256) { progress(file.bytes); return unpack(file, data); }
    await cache.delete(url);
  }
  let data;
  try {
    const response = await fetch(url, { signal });
    if (!response.ok) throw fault("status", file);
    data = await read(response, progress);
  } catch (e) {
    if (signal?.aborted) throw fault("cancelled", file);
    throw e.code ? e : fault("offline", file);
  }
  if (await sha256(data) !== file.sha256) throw fault("altered", file);
  const stored = await cache?.put(url, new Response(data)).then(() => true, () => false); // it may be full
  if (!stored) postMessage({ notice: "storage" });
  return unpack(file, data);
}

async function read(response, progress) {
  const parts = [];
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    progress(value.byteLength);
  }
  return new Blob(parts).arrayBuffer();
}

async function unpack(file, data) {
  if (!file.path.endsWith(".gz")) return data;
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function sha256(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
}
