// Measure: how many of a task's questions a voice gets right, with its 95 % interval.

import { $, h, percent, svg, within } from "./dom.js";
import { tools } from "./figure.js";
import { t } from "./i18n.js";
import { isBase, state, voice, voiceName } from "./state.js";
import { app, ask } from "./app.js";

const most = 6; // results that stay on screen
let abort = null, results = []; // {task, n, name, side, accuracy, ci95}, the newest last

export function start() {
  $("measure-run").addEventListener("click", run);
  $("measure-stop").addEventListener("click", leave);
}

export function loaded() {
  const was = $("measure-task").value;
  $("measure-task").replaceChildren(...app.model.tasks.filter((x) => x.name !== "classify").map((x) => h("option", { value: x.name }, x.name)));
  $("measure-task").value = app.model.tasks.some((x) => x.name === was) ? was : "math";
  results = [];
  paint();
  buttons();
}

export const translated = () => paint();

export function leave() { abort?.abort(); }

const buttons = () => within($("measure-run").parentElement, () => {
  $("measure-run").disabled = !app.model;
  $("measure-run").hidden = !!abort;
  $("measure-stop").hidden = !abort;
});

// run measures the base and, on the same questions, the voice of the state.
async function run() {
  const task = $("measure-task").value, n = +$("measure-n").value, model = app.model;
  const mine = abort = new AbortController();
  buttons();
  const voices = [[t("base"), {}], ...(isBase() ? [] : [[voiceName(), voice()]])];
  for (const [side, [name, v]] of voices.entries()) {
    const r = await ask("evaluate", { task, split: "test", n, seed: +state.seed, voice: v },
      { signal: mine.signal, onEvent: (type, p) => { if (type === "progress" && p.unit === "answers") about(name, p.done, p.total); } });
    if (!r || app.model !== model) break;
    results = [...results, { task, name, side, ...r }].slice(-most);
    paint();
  }
  abort = null;
  $("measure-about").textContent = "";
  buttons();
}

function about(name, done, total) {
  $("measure-about").textContent = t("measure.about", { name, done, total });
}

function paint() {
  $("measure-figure").replaceChildren(results.length ? drawing() : "");
  if (!results.length) { $("measure-tools").replaceChildren(); return; }
  tools($("measure-tools"), "measured", () => t("measure.title"), drawing,
    () => [["voice", "task", "questions", "accuracy", "from", "to"], ...results.map((r) => [r.name, r.task, r.n, r.accuracy, ...r.ci95])]);
}

// drawing has a line a result: its interval, and a point at what was measured.
function drawing() {
  const X = (v) => 12 + 376 * v, row = 44, bottom = 8 + row * results.length;
  return svg("svg", { viewBox: `0 0 400 ${bottom + 20}`, class: "intervals", role: "img", "aria-label": t("measure.title") + ": " +
    results.map((r) => words(r)).join("; ") },
    [0, 0.25, 0.5, 0.75, 1].map((v) => svg("g", { class: "tick" },
      results.map((_, i) => svg("line", { x1: X(v), x2: X(v), y1: 27 + row * i, y2: 41 + row * i })),
      svg("text", { x: X(v), y: bottom + 15, "text-anchor": v === 0 ? "start" : v === 1 ? "end" : "middle" }, 100 * v + "%"))),
    results.map((r, i) => {
      const y = 20 + row * i;
      return [svg("text", { class: "ink", x: 12, y, "font-size": 13 }, words(r)),
        svg("line", { class: "interval stroke-" + r.side, x1: X(r.ci95[0]), x2: X(r.ci95[1]), y1: y + 14, y2: y + 14 }),
        svg("circle", { class: "fill-" + r.side, cx: X(r.accuracy), cy: y + 14, r: 5 })];
    }));
}

const words = (r) => t("measure.row", { name: r.name, task: r.task, p: percent(r.accuracy),
  lo: percent(r.ci95[0]), hi: percent(r.ci95[1]), n: r.n });
