"use strict";
importScripts("wasm_exec.js");
const files = ["config.json", "tokenizer.json", "model.safetensors"];
const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
globalThis.t2emit = (json) => postMessage(json);
globalThis.t2ready = async () => {
  for (const f of files) t2.addFile("random/" + f, await bytes("model/" + f));
  onmessage = ({ data }) => t2.send(data);
  postMessage("ready");
};
const go = new Go();
WebAssembly.instantiateStreaming(fetch("engine.wasm"), go.importObject)
  .then(({ instance }) => go.run(instance));
