// Runs the engine as a Web Worker would, under node: node engine.js ENGINE.wasm wasm_exec.js MODEL_DIR NAME
// Requests come as lines of JSON on standard input, events go as lines to standard output.
"use strict";
const fs = require("fs"), path = require("path"), readline = require("readline");
const [engine, exec, dir, name] = process.argv.slice(2);
globalThis.require = require;
globalThis.fs = fs;
globalThis.path = path;
require(exec);

globalThis.t2emit = (json) => process.stdout.write(json + "\n");
globalThis.t2ready = () => {
  for (const file of fs.readdirSync(dir, { recursive: true })) {
    const full = path.join(dir, file);
    if (fs.statSync(full).isFile()) t2.addFile(name + "/" + file, new Uint8Array(fs.readFileSync(full)));
  }
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => t2.send(line));
  lines.on("close", () => process.exit(0));
};
const go = new Go();
WebAssembly.instantiate(fs.readFileSync(engine), go.importObject).then((r) => go.run(r.instance));
