// Few-shot: the cross-entropy method looks for the mixture that answers a few examples best.

import { $, h, percent, svg } from "./dom.js";
import { lines, tools } from "./figure.js";
import { t } from "./i18n.js";
import { set } from "./state.js";
import { app, outcome, say } from "./app.js";
import { at, frame } from "./triangle.js";

let running = null, generations = [], found = null;

export function start() {
  $("search-run").addEventListener("click", () => run(false));
  $("search-step").addEventListener("click", () => (running ? app.engine.control(running.id, "step") : run(true)));
  $("search-pause").addEventListener("click", () => running && app.engine.control(running.id, "pause"));
  $("search-resume").addEventListener("click", () => running && app.engine.control(running.id, "resume"));
  $("search-stop").addEventListener("click", () => running && app.engine.control(running.id, "cancel"));
  $("search-use").addEventListener("click", use);
}

export function loaded() {
  $("search-task").replaceChildren(...app.model.tasks.filter((x) => x.label !== "other").map((x) =>
    h("option", { value: x.name }, x.name + (x.unseen ? " *" : ""))));
  $("search-task").value = "math-hard";
  buttons();
}
export const translated = () => paint();

function buttons() {
  $("search-run").disabled = !app.model || !!running;
  for (const id of ["pause", "resume", "stop"]) $("search-" + id).disabled = !running;
  $("search-use").disabled = !found;
}

async function run(paused) {
  const what = own() ?? { task: $("search-task").value, k: +$("search-k").value, held: 40 };
  if (what.bad) { say(t("search.bad", { line: what.bad }), "warn"); return; }
  generations = [];
  found = null;
  const request = app.engine.request("search", { ...what,
    seed: +$("search-seed").value, paused, preset: $("search-preset").value },
  { onEvent: (type, g) => { if (type === "generation") { generations.push(g); paint(); } } });
  running = request;
  buttons();
  found = await outcome(request);
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
  if (!g) return;
  $("search-map").replaceChildren(g.experts.length === 3 ? triangle(g) : "");
  $("search-curve").replaceChildren(curve());
  $("search-about").textContent = t("search.about", { n: g.index + 1, most: g.most,
    best: g.experts.map((n, i) => `${n} ${g.best[i].toFixed(2)}`).join(", "), value: g.bestValue.toFixed(3),
    held: g.held < 0 ? "–" : percent(g.held) });
  tools($("search-tools"), "search", () => t("search.map"), () => triangle(g), () => [["generation", "member", ...g.experts, "value", "elite"],
    ...generations.flatMap((x) => x.members.map((m, i) => [x.index + 1, i, ...m, x.values[i], x.elites.includes(i) ? 1 : 0]))]);
  $("search-done").textContent = found ? t("search.done", { right: percent(found.right), answers: found.answers,
    s: found.seconds.toFixed(1), stopped: t("stopped." + found.stopped) }) : "";
}

function triangle(g) {
  const elite = new Set(g.elites), best = at(g.best);
  return frame(g.experts, t("search.map"),
    g.members.map((m, i) => { const [x, y] = at(m); return svg("circle", { cx: x, cy: y, r: 0.8 + 0.7 * m.reduce((a, b) => a + b, 0), class: elite.has(i) ? "elite" : "" }); }),
    svg("path", { class: "best", d: `M${best[0] - 3} ${best[1]}h6M${best[0]} ${best[1] - 3}v6` }));
}

// curve draws the best value by generation and, dashed, its accuracy on examples it was not shown.
function curve() {
  const of = (f) => generations.map((g) => [g.index + 1, f(g)]);
  const held = generations.some((g) => g.held >= 0) ? [{ class: "held", points: of((g) => Math.max(g.held, 0)) }] : [];
  return lines(t("search.curve"), generations.at(-1).most, [{ class: "shots", points: of((g) => g.bestValue) }, ...held]);
}
