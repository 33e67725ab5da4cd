// Playground: one prompt, base and expert side by side, the same seed.

import { $, h, later, percent, renew, shown, within } from "./dom.js";
import { barsDrawing, barsRows, tools } from "./figure.js";
import { described, t } from "./i18n.js";
import { defaults, sampling, set, state, voice, voiceName } from "./state.js";
import { app, ask, measured, say } from "./app.js";

// Examples of each task: who should answer, and a question of its test split at which base and expert
// differ. It comes first; whoever asks for more gets the split's questions in their order.
const examples = [["math", "math", 1], ["code", "code", 2], ["reasoning", "reasoning", 2], ["math-hard", "math", 7],
  ["code-complete", "code", 2], ["reasoning-hard", "reasoning", 4], ["shout", "shout", 0], ["brief", "brief", 5],
  ["french", "french", 0], ["polite", "polite", 0]];
const truths = new Map(); // a question -> its right answer, where it is a task's
const slowMS = 220; // a token at slow speed
const runs = [null, null]; // what each side said: {tokens, scores, answer}
let prepared = null, preparedShown = false, abort = null, first = -1, picked = null;
let visible = Infinity, clock = 0; // tokens of each side that are on screen, and the slow hand

// start shows what was computed when the site was built, before the model is there.
export async function start() {
  $("prompt").addEventListener("input", later(() => set({ p: $("prompt").value }, { replace: true })));
  $("prompt").addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); run(); } });
  $("run").addEventListener("click", run);
  $("stop").addEventListener("click", stop);
  $("step-token").addEventListener("click", () => { visible++; paint(); });
  for (const name of ["mode", "speed"]) {
    for (const radio of document.querySelectorAll(`input[name=${name}]`)) {
      radio.addEventListener("change", () => (name === "mode" ? set({ mode: radio.value }) : pace()));
    }
  }
  for (const id of ["seed", "t", "topk", "topp", "minp"]) {
    $("s-" + id).addEventListener("change", (e) => { set({ [id]: e.target.value }, { replace: true }); if (app.model) run(); });
  }
  $("copy-answers").addEventListener("click", copy);
  changed(new Set(["p", "seed", "mode"]));
  try {
    prepared = await (await fetch("precomputed.json")).json();
  } catch { return; } // the page works without
  if (!app.model) chips(prepared.runs.map((r) => [r.request.voices[1].expert, () => set({ p: r.request.prompt, x: r.request.voices[1].expert })]));
  recall();
}

// recall shows a prepared run, if it is the one that the state asks for: all are of the default model.
function recall() {
  if (app.model || !prepared) return;
  const same = (r) => state.m === defaults.m && r.request.prompt === state.p && r.request.voices[1].expert === state.x && !state.c && !state.z && !state.k && +state.t === 0;
  if (!state.p) set({ p: prepared.runs[0].request.prompt }, { replace: true });
  const match = prepared.runs.find(same);
  if (!match) return;
  begin();
  preparedShown = true;
  for (const e of match.events) hear(e.type, e.body);
  paint();
}

export function loaded() {
  offer();
  who();
  $("run").disabled = false;
  if (state.p && !current()) run();
  learnTruths();
}

// offer lists an example of every task.
function offer() {
  chips(examples.map(([task, expert, telling]) => {
    let index = -1;
    return [task, async () => {
      const q = await ask("question", { task, index: index < 0 ? telling : index });
      index++;
      if (!q) return;
      truths.set(q.prompt, q.answer);
      set({ p: q.prompt, x: app.experts.some((e) => e.name === expert) ? expert : state.x });
    }];
  }));
}

// learnTruths asks for the right answers of the examples, of which some are on screen already.
async function learnTruths() {
  for (const [task, , index] of examples) {
    const q = await app.engine.request("question", { task, index }).catch(() => null); // nice to have
    if (q) truths.set(q.prompt, q.answer);
  }
  paint();
}

export function expertsChanged() {
  answered = ""; // one of the same name may say something else now
  who();
}

export const leave = () => abort?.abort();

// current tells whether what is on screen answers the state.
let answered = "";
const wanted = () => JSON.stringify([state.m, state.p, voice(), sampling(), state.seed]);
const current = () => runs[0] && answered === wanted();

export function changed(names) {
  if (names.has("p") && $("prompt").value !== state.p) $("prompt").value = state.p;
  for (const id of ["seed", "t", "topk", "topp", "minp"]) $("s-" + id).value = state[id];
  if (names.has("mode")) { $("mode-" + state.mode).checked = true; paint(); }
  if (["x", "c", "z", "k"].some((n) => names.has(n))) { $("name-1").textContent = voiceName(); who(); }
  if (["x", "c", "z", "k", "p"].some((n) => names.has(n))) recall();
  const typing = document.activeElement === $("prompt");
  if (app.model && state.view === "play" && state.p.trim() && !typing && !current()) run();
}

export function translated() { who(); paint(); if (app.model) offer(); }

function chips(list) {
  $("examples").replaceChildren(...list.map(([name, f]) => h("button", { type: "button", class: "chip", onclick: f }, name)));
}

// who is the row of voices: one click, and another expert answers.
function who() {
  if (!app.model) return;
  const mixed = state.x.includes(":") ? [state.x] : [];
  const about = (name) => described(app.experts.find((e) => e.name === name)?.task);
  renew($("voices"), ...["base", ...app.experts.map((e) => e.name), ...mixed].map((name) =>
    h("button", { type: "button", class: "chip", title: about(name), "aria-pressed": state.x === name ? "true" : "false",
      onclick: () => set({ x: name, c: "" }) }, name === "base" ? t("base") : name.includes(":") ? voiceName() : name)));
}

function begin() {
  runs[0] = { tokens: [], scores: [] };
  runs[1] = { tokens: [], scores: [] };
  first = -1;
  picked = null;
  preparedShown = false;
  answered = wanted();
  $("name-1").textContent = voiceName();
  pace();
}

const speed = () => document.querySelector("input[name=speed]:checked").value;

// pace lets tokens appear as fast as they come, one after the other, or one a press.
function pace() {
  clearInterval(clock);
  $("step-token").hidden = speed() !== "step";
  visible = speed() === "full" ? Infinity : 1;
  if (speed() === "slow") {
    clock = setInterval(() => {
      visible++;
      paint();
      if (runs[1]?.answer && visible > Math.max(runs[0].tokens.length, runs[1].tokens.length)) { clearInterval(clock); visible = Infinity; }
    }, slowMS);
  }
  paint();
}

function stop() {
  abort?.abort();
  clearInterval(clock);
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
  within($("run").parentElement, () => { $("stop").hidden = true; });
  if (result) first = result.firstDifference; else answered = "";
  paint();
}

function hear(type, body) {
  if (type === "token") {
    runs[body.voice].tokens.push(body);
    const [a, b] = [runs[0].tokens, runs[1].tokens];
    first = a.findIndex((x, i) => b[i] && b[i].id !== x.id);
  } else if (type === "answer") {
    runs[body.voice].answer = body;
    const longer = body.tokens >= (runs[1 - body.voice].answer?.tokens ?? 0); // its speed is less that of the question
    if (longer && body.seconds > 0 && !preparedShown) measured(body.tokens / body.seconds);
  } else if (type === "scores") runs[body.voice].scores = body.tokens;
}

const soon = later(paint);

// Forced: the base's own words, and beside each what the other voice would have said there.
const forced = () => state.mode === "forced";

function paint() {
  for (const side of [0, 1]) {
    const r = runs[side], box = $("answer-" + side);
    if (!r) continue;
    const list = forced() ? runs[0].tokens.map((x, i) => (side === 0 ? chip(0, i, x, r.scores[i]) : judged(i, x, runs[0].scores[i])))
      : r.tokens.map((x, i) => chip(side, i, x, r.scores[i]));
    renew(box, ...list.slice(0, visible).filter(Boolean));
    box.classList.toggle("waiting", !list.length);
    const a = r.answer;
    $("about-" + side).textContent = forced() && side === 1 ? t("play.forcedAbout") : a && preparedShown
      ? t("play.aboutPrepared", { tokens: a.tokens }) : a
      ? t(a.switchMs >= 0.05 ? "play.about" : "play.aboutBase", { tokens: a.tokens, speed: Math.round(a.tokens / Math.max(a.seconds, 1e-6)), ms: a.switchMs.toFixed(1) }) : "";
  }
  $("differ").textContent = !runs[0]?.answer || !runs[1]?.answer ? ""
    : forced() ? agreement() : first < 0 ? t("play.same") : t("play.differ", { n: first + 1 });
  const all = runs.map((r) => r?.answer?.text ?? "").join(" ");
  $("truth").textContent = [truths.has(state.p) && answered === wanted() ? t("play.truth", { answer: truths.get(state.p).trim() }) : "",
    all.includes("####") ? t("play.marker") : ""].filter(Boolean).join(" · ");
  $("prepared").hidden = !preparedShown;
  $("copy-answers").disabled = !runs[1]?.answer;
  detail();
}

function agreement() {
  const s = runs[0].scores;
  if (!s.length) return "";
  return t("play.agree", { same: s.filter((x, i) => x.top[0]?.id === runs[0].tokens[i].id).length, all: s.length });
}

// chip is one token: the further the other voice's probability is from this one's, the stronger.
function chip(side, i, x, score) {
  const gap = score ? x.logProb - score.logProb : 0; // above 0: the other would rather not
  return token(side, i, x.closing ? "■" : shownText(x.text), gap, x.closing,
    t("play.token", { text: x.text || t("play.end"), p: percent(Math.exp(x.logProb)) }));
}

// judged is what the second voice would have said after the same words.
function judged(i, x, score) {
  if (!score || !score.top[0]) return null;
  const a = score.top[0], same = a.id === x.id;
  const chip = token(0, i, a.text ? shownText(a.text) : "■", same ? 0 : a.logProb - score.logProb, false,
    t("play.token", { text: a.text || t("play.end"), p: percent(Math.exp(a.logProb)) }));
  chip.classList.toggle("same", same);
  return chip;
}

const shownText = (text) => text.replace(/\n/g, "⏎\n") || "∅";

function token(side, i, text, gap, closing, label) {
  const on = picked?.side === side && picked?.i === i;
  return h("button", { type: "button", "--gap": Math.min(Math.abs(gap) / 4, 1).toFixed(2), "data-i": i,
    class: "token" + (closing ? " closing" : "") + (i === first && !forced() ? " first" : "") + (Math.abs(gap) > 0.7 ? " apart" : ""),
    "aria-pressed": on ? "true" : "false", "aria-label": label + (i === first && !forced() ? ", " + t("play.first") : ""),
    onclick: () => pick(side, i), onmouseenter: () => pick(side, i), onfocus: () => pick(side, i) }, text);
}

function pick(side, i) {
  if (picked?.side === side && picked?.i === i) return;
  picked = { side, i };
  for (const s of [0, 1]) {
    for (const c of $("answer-" + s).children) {
      c.setAttribute("aria-pressed", (forced() || s === side) && +c.dataset.i === i ? "true" : "false");
    }
  }
  detail();
}

// detail shows what else there was at the token that is looked at, to both voices.
function detail() {
  const x = picked && runs[picked.side]?.tokens[picked.i];
  $("detail-hint").hidden = !!x || !runs[0]?.tokens.length;
  $("detail").hidden = !x;
  if (!x) return;
  const score = runs[picked.side].scores[picked.i];
  const names = [t("base"), voiceName()];
  const both = [{ name: names[picked.side], side: picked.side, choice: x },
    ...(score ? [{ name: names[1 - picked.side], side: 1 - picked.side, choice: score }] : [])].sort((a, b) => a.side - b.side);
  const title = () => t("play.detail", { n: picked.i + 1, text: x.closing ? t("play.end") : shown(x.text) });
  $("detail-title").textContent = title();
  $("detail-bars").replaceChildren(...both.map((g) => bars(g.name, g.side, g.choice, x.id)));
  $("detail-kl").textContent = score ? t("play.kl", { kl: score.kl.toFixed(3) }) : "";
  tools($("detail-tools"), "token", title, () => barsDrawing(both, shown),
    () => barsRows(both));
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
