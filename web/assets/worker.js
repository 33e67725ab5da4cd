// The Web Worker: brings the engine and a model's files, and carries messages. It is a classic
// script because Go's wasm_exec.js is one.
"use strict";
importScripts("wasm_exec.js");

const CACHE = "t2-files";
let manifest, base, started;

globalThis.t2emit = (json) => postMessage(json);

onmessage = ({ data }) => {
  if (data.manifest) {
    ({ manifest, base } = data);
    started = start();
    started.catch(() => {}); // whoever asks first hears of it
    return;
  }
  deliver(data);
};

// deliver hands a request to the engine once that is there; a load waits for its files first.
async function deliver(text) {
  const request = JSON.parse(text);
  try {
    await started;
    if (request.type === "load") await fetchModel(request);
  } catch (e) {
    answer(request.id, "error", { code: "bad-request", message: e.message });
    return;
  }
  t2.send(text);
}

function answer(id, type, body) { postMessage(JSON.stringify({ v: 1, id, type, body })); }

async function start() {
  const [file] = await bring([manifest.engine]);
  const ready = new Promise((resolve) => { globalThis.t2ready = resolve; });
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(file, go.importObject);
  go.run(instance);
  await ready;
}

const held = new Set();

// fetchModel brings the files of a model that the engine does not have yet.
async function fetchModel(request) {
  const name = request.body.model;
  const model = manifest.models[name];
  if (!model || held.has(name)) return; // the engine itself refuses a name that nobody knows
  const total = model.reduce((n, f) => n + f.bytes, 0);
  let done = 0;
  const files = await bring(model, (n) => {
    done += n;
    answer(request.id, "progress", { stage: "fetch", unit: "bytes", done, total });
  });
  model.forEach((f, i) => t2.addFile(name + "/" + f.name, new Uint8Array(files[i])));
  held.add(name);
}

// bring gives files from the cache or from where the page came from, checked by their hash.
async function bring(files, progress = () => {}) {
  const cache = await caches.open(CACHE).catch(() => null); // storage may be blocked
  return Promise.all(files.map((f) => bringOne(f, cache, progress)));
}

async function bringOne(file, cache, progress) {
  const url = new URL(file.path, base).href;
  const kept = await cache?.match(url);
  if (kept) {
    const data = await kept.arrayBuffer();
    if (await sha256(data) === file.sha256) { progress(file.bytes); return unpack(file, data); }
    await cache.delete(url);
  }
  let response;
  try { response = await fetch(url); } catch { throw new Error(`${file.name} could not be fetched: is there a network?`); }
  if (!response.ok) throw new Error(`${file.name} could not be fetched: the server says ${response.status}`);
  const data = await read(response, progress);
  if (await sha256(data) !== file.sha256) {
    throw new Error(`${file.name} arrived altered or cut off (${data.byteLength} bytes, want ${file.bytes}): reload the page`);
  }
  await cache?.put(url, new Response(data)).catch(() => {}); // storage may be full
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
