// Our engine in a worker. run(n) decodes n tokens and gives {rate, text}: tokens a second between the
// first token and the last as they arrive here, JSON and all.
const weights = new URLSearchParams(location.search).get("weights");
const worker = new Worker("ours-worker.js");
let last = 0;

function request(type, body, onToken = () => {}) {
  const id = ++last;
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      const e = JSON.parse(data);
      if (e.id !== id) return;
      if (e.type === "token") onToken(e.body);
      if (e.type === "result") resolve(e.body);
      if (e.type === "error") reject(new Error(e.body.message));
    };
    worker.postMessage(JSON.stringify({ v: 1, id, type, body }));
  });
}

window.run = async (n, prompt) => {
  const times = [];
  let text = "";
  await request("generate", { prompt, voices: [{}], maxTokens: n, sampling: {}, seed: 1, top: 0 },
    (t) => { times.push(performance.now()); text += t.text; });
  return { rate: (times.length - 1) / (times.at(-1) - times[0]) * 1000, text };
};

window.ready = new Promise((resolve) => {
  worker.onmessage = () => resolve(request("load", { model: "random", weights }));
});
