// llama.cpp in WebAssembly. run(n) decodes n tokens and gives {rate, text}: by llama.cpp's own timer.
import { Wllama, LoggerWithoutDebug } from "./wllama/esm/index.js";
const model = new URLSearchParams(location.search).get("model");

async function load() {
  const w = new Wllama({ default: "./wllama/esm/wasm/wllama.wasm" },
    { logger: LoggerWithoutDebug, suppressNativeLog: true });
  const file = await (await fetch(model)).blob();
  await w.loadModel([file], { n_ctx: 512, n_threads: 1, n_gpu_layers: 0, seed: 1 });
  window.run = async (n, prompt) => {
    const r = await w.createCompletion({ prompt, max_tokens: n, temperature: 0, top_k: 1,
      cache_prompt: false, ignore_eos: true, repeat_penalty: 1 });
    return { rate: r.timings.predicted_per_second, text: r.choices[0].text };
  };
}
window.ready = load();
