// Two passes: read the prompt, find the task, answer with the expert for it.

import { $, h, percent } from "./dom.js";
import { t } from "./i18n.js";
import { sampling, state } from "./state.js";
import { app, ask, say } from "./app.js";
import { barsDrawing, tools } from "./figure.js";
import * as heat from "./heat.js";

const labels = ["math", "code", "reasoning", "other"];
let last = null; // what the first pass found
let abort = null;

export function start() {
  $("passes-run").addEventListener("click", () => run());
  $("passes-wrong").addEventListener("click", () => run(wrong()));
  $("passes-base").addEventListener("click", () => run("base"));
}

export function changed(names) {
  if (names.has("p") || names.has("view")) $("passes-prompt").textContent = state.p;
}
export const translated = () => changed(new Set(["p"]));
export const loaded = () => { changed(new Set(["p"])); $("passes-run").disabled = false; };

export const leave = () => abort?.abort();

const called = (name) => (name === "base" ? t("base") : name);

// wrong is an expert that the first pass did not choose.
function wrong() {
  const names = labels.slice(0, 3).filter((l) => l !== last?.expert && app.experts.some((e) => e.name === l));
  return names[0] ?? "base";
}

// run reads the question, and answers it in a second pass.
export async function run(override) {
  if (!state.p.trim()) { say(t("play.empty"), "warn"); return; }
  const by = document.querySelector("input[name=by]:checked").value;
  abort?.abort();
  const mine = abort = new AbortController();
  $("pass2-answer").textContent = "";
  $("pass2-heat").replaceChildren();
  $("pass2-tools").replaceChildren();
  $("passes-flow").hidden = false;
  $("pass2-who").textContent = "";
  const done = await ask("adapt", { prompt: state.p, by, maxTokens: 96, sampling: sampling(), seed: +state.seed, top: 1, override: override ?? "" }, {
    signal: mine.signal,
    onEvent: (type, body) => {
      if (abort !== mine) return;
      if (type === "classified") { last = body; first(body, override); }
      if (type === "token" && !body.closing) $("pass2-answer").append(body.text);
    } });
  if (!done || abort !== mine) return;
  $("pass2-who").textContent = t("passes.second", { who: called(done.expert), ms: done.pass2Ms.toFixed(0) });
  const map = await ask("heat", { voice: done.expert === "base" ? {} : { expert: done.expert } });
  if (map && abort === mine) apply(map.cells, done.expert);
}

// apply recolours the matrices, layer by layer, as z is laid over them.
function apply(cells, who) {
  const drawing = heat.drawing(cells), rects = [...drawing.querySelectorAll("rect")];
  drawing.classList.add("applying");
  const to = rects.map((r) => r.getAttribute("fill-opacity"));
  rects.forEach((r, i) => { r.style.setProperty("--layer", Math.floor(i / heat.roles.length)); r.setAttribute("fill-opacity", 0.04); });
  $("pass2-heat").replaceChildren(drawing);
  tools($("pass2-tools"), "second-pass", () => t("sigma.heat", { who: called(who) }), () => heat.drawing(cells), () => heat.rows(cells, (name) => name));
  requestAnimationFrame(() => requestAnimationFrame(() => rects.forEach((r, i) => r.setAttribute("fill-opacity", to[i]))));
}

function first(found, override) {
  $("pass1-system").textContent = found.system;
  $("pass1-text").textContent = found.text;
  $("pass1-about").textContent = t("passes.first", { label: t("label." + found.label), ms: found.ms.toFixed(0) });
  $("pass1-bars").replaceChildren(h("figure", { class: "bars side-1" }, h("ol", {}, labels.map((l) =>
    h("li", { class: l === found.label ? "taken" : "", "--p": (found.probabilities?.[l] ?? 0).toFixed(4) },
      h("code", {}, t("label." + l)), h("span", { class: "bar" }), h("span", { class: "value" }, percent(found.probabilities?.[l] ?? 0)))))));
  tools($("pass1-tools"), "first-pass", () => t("passes.one") + " · " + state.p.slice(0, 80), () => probabilities(found),
    () => [["label", "probability"], ...labels.map((l) => [l, found.probabilities?.[l] ?? 0])]);
  $("dispatch").textContent = override === undefined ? t("passes.dispatch", { who: called(found.expert) })
    : t("passes.override", { who: called(override), right: called(found.expert) });
}

// probabilities draws what the first pass found as a figure.
const probabilities = (found) => barsDrawing([{ name: t("passes.one"), side: 1, choice: { top: labels.map((l) =>
  ({ text: t("label." + l), logProb: Math.log(found.probabilities?.[l] ?? 0) })) } }], (text) => text);
