// Playground: one prompt, base and expert side by side, the same seed.

import { $, h, later, percent, shown } from "./dom.js";
import { t } from "./i18n.js";
import { sampling, set, state, voice, voiceName } from "./state.js";
import { app, ask, measured, say } from "./app.js";

const examples = [["math", 3], ["code", 5], ["reasoning", 8], ["math-hard", 4], ["shout", 6]];
const runs = [null, null]; // what each side said: {tokens, scores, answer}
let prepared = null, abort = null, first = -1, picked = null;

// start shows what was computed when the site was built, before the model is there.
export async function start() {
  $("prompt").addEventListener("input", later(() => set({ p: $("prompt").value }, { replace: true })));
  $("prompt").addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); run(); } });
  $("run").addEventListener("click", run);
  $("stop").addEventListener("click", () => abort?.abort());
  for (const id of ["seed", "t", "topk", "topp", "minp"]) {
    $("s-" + id).addEventListener("change", (e) => set({ [id]: e.target.value }, { replace: true }));
  }
  $("copy-answers").addEventListener("click", copy);
  changed(new Set(["p", "seed"]));
  try {
    prepared = await (await fetch("precomputed.json")).json();
  } catch { return; } // the page works without
  if (!app.model) chips(prepared.runs.map((r) => r.request.prompt));
  const match = prepared.runs.find((r) => r.request.prompt === state.p) || (state.p ? null : prepared.runs[0]);
  if (!match || runs[0]) return;
  if (!state.p) set({ p: match.request.prompt, x: match.request.voices[1].expert }, { replace: true });
  begin();
  for (const e of match.events) hear(e.type, e.body);
  paint();
}

export async function loaded() {
  const prompts = (prepared?.runs || []).map((r) => r.request.prompt);
  for (const [task, index] of examples) {
    const q = await ask("question", { task, index });
    if (q && !prompts.includes(q.prompt)) prompts.push(q.prompt);
  }
  chips(prompts.slice(0, 8));
  $("run").disabled = false;
  if (!runs[0] && state.p) run();
}

export function changed(names) {
  if (names.has("p") && $("prompt").value !== state.p) $("prompt").value = state.p;
  for (const id of ["seed", "t", "topk", "topp", "minp"]) $("s-" + id).value = state[id];
  if (["x", "c", "z", "k"].some((n) => names.has(n))) {
    $("name-1").textContent = voiceName();
    if (app.model && state.view === "play" && state.p) run();
  }
}

export function translated() { paint(); }

function chips(prompts) {
  $("examples").replaceChildren(...prompts.map((p) =>
    h("button", { type: "button", class: "chip", onclick: () => { set({ p }); run(); } }, p)));
}

function begin() {
  runs[0] = { tokens: [], scores: [] };
  runs[1] = { tokens: [], scores: [] };
  first = -1;
  picked = null;
  $("name-1").textContent = voiceName();
}

// run answers the prompt as the base and as the voice of the state.
export async function run() {
  if (!app.model) return;
  if (!state.p.trim()) { say(t("play.empty"), "warn"); return; }
  abort?.abort();
  const mine = abort = new AbortController();
  begin();
  $("stop").hidden = false;
  const result = await ask("generate", { prompt: state.p, voices: [{}, voice()], maxTokens: 96, top: 10,
    sampling: sampling(), seed: +state.seed, score: true },
  { signal: mine.signal, onEvent: (type, body) => { if (abort === mine) { hear(type, body); soon(); } } });
  if (abort !== mine) return;
  $("stop").hidden = true;
  if (result) first = result.firstDifference;
  paint();
}

function hear(type, body) {
  if (type === "token") {
    runs[body.voice].tokens.push(body);
    const [a, b] = [runs[0].tokens, runs[1].tokens];
    first = a.findIndex((x, i) => b[i] && b[i].id !== x.id);
  } else if (type === "answer") {
    runs[body.voice].answer = body;
    if (body.seconds > 0) measured(body.tokens / body.seconds);
  } else if (type === "scores") runs[body.voice].scores = body.tokens;
}

const soon = later(paint);

function paint() {
  for (const side of [0, 1]) {
    const r = runs[side];
    if (!r) continue;
    $("answer-" + side).replaceChildren(...r.tokens.map((x, i) => chip(side, i, x, r.scores[i])));
    $("about-" + side).textContent = r.answer
      ? t("play.about", { tokens: r.answer.tokens, speed: Math.round(r.answer.tokens / Math.max(r.answer.seconds, 1e-6)), ms: r.answer.switchMs.toFixed(1) })
      : "";
  }
  $("differ").textContent = !runs[0]?.answer || !runs[1]?.answer ? ""
    : first < 0 ? t("play.same") : t("play.differ", { n: first + 1 });
  detail();
}

// chip is one token: the further the other voice's probability is from this one's, the stronger.
function chip(side, i, x, score) {
  const gap = score ? Math.min(Math.abs(x.logProb - score.logProb) / 4, 1) : 0;
  return h("button", { type: "button", class: "token" + (x.closing ? " closing" : "") + (i === first ? " first" : ""),
    "--gap": gap.toFixed(2), "aria-pressed": picked?.side === side && picked?.i === i ? "true" : "false",
    "aria-label": t("play.token", { text: x.text || t("play.end"), p: percent(Math.exp(x.logProb)) }),
    onclick: () => pick(side, i), onmouseenter: () => pick(side, i), onfocus: () => pick(side, i) },
  x.closing ? "■" : x.text || "∅");
}

function pick(side, i) {
  if (picked?.side === side && picked?.i === i) return;
  picked = { side, i };
  for (const s of [0, 1]) {
    [...$("answer-" + s).children].forEach((c, j) => c.setAttribute("aria-pressed", s === side && j === i ? "true" : "false"));
  }
  detail();
}

// detail shows what else there was at the token that is looked at, to both voices.
function detail() {
  const x = picked && runs[picked.side]?.tokens[picked.i];
  $("detail").hidden = !x;
  if (!x) return;
  const score = runs[picked.side].scores[picked.i];
  const names = [t("base"), voiceName()];
  $("detail-title").textContent = t("play.detail", { n: picked.i + 1, text: x.closing ? t("play.end") : shown(x.text) });
  $("detail-bars").replaceChildren(bars(names[picked.side], picked.side, x, x.id),
    score ? bars(names[1 - picked.side], 1 - picked.side, score, x.id) : "");
  $("detail-kl").textContent = score ? t("play.kl", { kl: score.kl.toFixed(3) }) : "";
}

// bars draws a distribution's likeliest tokens.
export function bars(name, side, choice, id) {
  return h("figure", { class: "bars side-" + side },
    h("figcaption", {}, name, " ", h("small", {}, t("entropy", { h: choice.entropy.toFixed(2) }))),
    h("ol", {}, choice.top.map((a) => h("li", { class: a.id === id ? "taken" : "", "--p": Math.exp(a.logProb).toFixed(4) },
      h("code", {}, shown(a.text)), h("span", { class: "bar" }), h("span", { class: "value" }, percent(Math.exp(a.logProb)))))));
}

function copy() {
  const text = [0, 1].map((s) => `${s ? voiceName() : t("base")}: ${runs[s]?.answer?.text ?? ""}`).join("\n");
  navigator.clipboard.writeText(`${state.p}\n\n${text}\n\n${location.href}`).then(() => say(t("copied"), "done"), () => say(text, "done"));
}
