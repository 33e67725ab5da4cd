// Few-shot: the cross-entropy method looks for the mixture that answers a few examples best.

import { $, h, percent, svg, within } from "./dom.js";
import { lines, tools } from "./figure.js";
import { t } from "./i18n.js";
import { set, state } from "./state.js";
import { app, outcome, say } from "./app.js";
import { at, frame } from "./triangle.js";

let running = null, paused = false, generations = [], found = null;

export function start() {
  $("search-run").addEventListener("click", () => run(false));
  $("search-step").addEventListener("click", () => (running ? control("step") : run(true)));
  $("search-pause").addEventListener("click", () => control("pause"));
  $("search-resume").addEventListener("click", () => control("resume"));
  $("search-seed").addEventListener("change", (e) => set({ seed: e.target.value }));
  changed(new Set(["seed"]));
  $("search-stop").addEventListener("click", () => control("cancel"));
  $("search-use").addEventListener("click", use);
}

export function changed(names) {
  if (names.has("seed")) $("search-seed").value = state.seed;
}

export function loaded() {
  $("search-task").replaceChildren(...app.model.tasks.filter((x) => x.label !== "other").map((x) =>
    h("option", { value: x.name }, x.name + (x.unseen ? " *" : ""))));
  $("search-task").value = "math-hard";
  buttons();
}
export const translated = () => paint();

// leave ends a search whose model goes.
export function leave() {
  if (running) say(t("ended.search"), "warn");
  control("cancel");
  running = null;
  generations = [];
  found = null;
  buttons();
  paint();
}

function control(action) {
  if (!running) return;
  app.engine.control(running.id, action);
  if (action === "pause" || action === "step") paused = true;
  if (action === "resume") paused = false;
  buttons();
}

const buttons = () => within($("search-run").parentElement, () => {
  $("search-run").disabled = !app.model;
  $("search-run").hidden = !!running;
  $("search-step").disabled = !app.model;
  $("search-step").hidden = !!running && !paused;
  $("search-pause").hidden = !running || paused;
  $("search-resume").hidden = !running || !paused;
  $("search-stop").hidden = !running;
  $("search-use").hidden = !found;
});

async function run(stepwise) {
  const what = own() ?? { task: $("search-task").value, k: +$("search-k").value, held: 40 };
  if (what.bad) { say(t("search.bad", { line: what.bad }), "warn"); return; }
  generations = [];
  found = null;
  paused = stepwise;
  const request = app.engine.request("search", { ...what,
    seed: +state.seed, paused, preset: $("search-preset").value },
  { onEvent: (type, g) => { if (type === "generation" && running === request) { generations.push(g); paint(); } } });
  running = request;
  buttons();
  paint();
  const end = await outcome(request);
  if (running !== request) return; // its model is gone
  found = end;
  running = null;
  buttons();
  paint();
}

// own reads the visitor's own examples, "question => answer" a line; none gives null.
function own() {
  const rows = $("search-shots").value.split("\n").filter((l) => l.trim());
  if (!rows.length) return null;
  const shots = [];
  for (const row of rows) {
    const cut = row.lastIndexOf("=>");
    if (cut < 1 || !row.slice(cut + 2).trim()) return { bad: row.slice(0, 60) };
    shots.push({ prompt: row.slice(0, cut).trim(), answer: row.slice(cut + 2).trim() });
  }
  return { shots };
}

function use() {
  set({ x: Object.entries(found.alpha).map(([n, a]) => `${n}:${a.toFixed(3)}`).join(","), view: "play" });
}

function paint() {
  const g = generations.at(-1);
  $("search-figures").hidden = !g;
  $("search-about").textContent = g ? t("search.about", { n: g.index + 1, most: g.most,
    best: g.experts.map((n, i) => `${n} ${g.best[i].toFixed(2)}`).join(", "), value: g.bestValue.toFixed(3),
    held: g.held < 0 ? "–" : percent(g.held) }) : t(running ? "search.begins" : "search.waiting");
  $("search-done").textContent = found ? t("search.done", { right: percent(found.right), answers: found.answers,
    s: found.seconds.toFixed(1), stopped: t("stopped." + found.stopped) }) : "";
  if (!g) return;
  const three = g.experts.length === 3;
  $("search-map-panel").hidden = !three;
  if (three) figure("map", () => triangle(g), () => [["generation", "member", ...g.experts, "value", "elite"],
    ...generations.flatMap((x) => x.members.map((m, i) => [x.index + 1, i, ...m, x.values[i], x.elites.includes(i) ? 1 : 0]))]);
  figure("curve", curve, () => [["generation", "value", "held"], ...generations.map((x) => [x.index + 1, x.bestValue, x.held < 0 ? "" : x.held])]);
  figure("spread", spread, () => [["generation", ...g.experts.flatMap((n) => [n + " mean", n + " std"])],
    ...generations.map((x) => [x.index + 1, ...x.mean.flatMap((m, i) => [m, x.std[i]])])]);
}

// figure shows a drawing and what can be taken of it.
function figure(name, draw, rows) {
  $("search-" + name).replaceChildren(draw());
  tools($("search-" + name + "-tools"), "search-" + name, () => t("search." + name), draw, rows);
}

// triangle shows the members of a generation, and as a cross of bars mean ± spread of the shares that
// they were drawn from, one bar an expert.
function triangle(g) {
  const elite = new Set(g.elites), best = at(g.best), mean = at(g.mean);
  const bars = g.experts.map((_, k) => [1, -1].map((sign) => at(g.mean.map((m, i) => Math.max(0, m + (i === k ? sign * g.std[i] : 0))))));
  return frame(g.experts, t("search.map"),
    bars.map(([a, b]) => svg("line", { class: "spread", x1: a[0], y1: a[1], x2: b[0], y2: b[1] })),
    g.members.map((m, i) => { const [x, y] = at(m); return svg("circle", { cx: x, cy: y, r: 0.8 + 0.7 * m.reduce((a, b) => a + b, 0), class: elite.has(i) ? "elite" : "" }); }),
    svg("circle", { class: "mean", cx: mean[0], cy: mean[1], r: 2.4 }),
    svg("path", { class: "best", d: `M${best[0] - 3} ${best[1]}h6M${best[0]} ${best[1] - 3}v6` }));
}

// curve draws the best value by generation and, dashed, its accuracy on examples it was not shown.
function curve() {
  const of = (f) => generations.map((g) => [g.index + 1, f(g)]);
  const held = generations.some((g) => g.held >= 0) ? [{ class: "held", points: of((g) => Math.max(g.held, 0)) }] : [];
  return lines(t("search.curve"), generations.at(-1).most, [{ class: "shots", points: of((g) => g.bestValue) }, ...held]);
}

// spread draws each expert's share as the search believes in it: mean, and mean ± spread as a band.
function spread() {
  const { experts, most } = generations.at(-1), of = (f) => generations.map((g) => [g.index + 1, f(g)]);
  return lines(t("search.spread"), most, experts.map((name, i) => ({ class: "share share-" + i % 3, name, points: of((g) => g.mean[i]),
    band: [...of((g) => g.mean[i] + g.std[i]), ...of((g) => g.mean[i] - g.std[i]).reverse()] })));
}
