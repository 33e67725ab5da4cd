// Few-shot: the cross-entropy method looks for the mixture that answers a few examples best.

import { $, h, percent, svg } from "./dom.js";
import { t } from "./i18n.js";
import { set } from "./state.js";
import { app, outcome } from "./app.js";

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
  generations = [];
  found = null;
  const request = app.engine.request("search", { task: $("search-task").value, k: +$("search-k").value, held: 40,
    seed: +$("search-seed").value, paused, preset: $("search-preset").value },
  { onEvent: (type, g) => { if (type === "generation") { generations.push(g); paint(); } } });
  running = request;
  buttons();
  found = await outcome(request);
  running = null;
  buttons();
  paint();
}

function use() {
  set({ x: Object.entries(found.alpha).map(([n, a]) => `${n}:${a.toFixed(3)}`).join(","), view: "play" });
}

// corner gives the triangle's point for three shares: their sum decides the size of the dot.
const corners = [[50, 6], [6, 84], [94, 84]];
function corner(alpha) {
  const sum = alpha.reduce((a, b) => a + b, 0) || 1;
  return [0, 1].map((k) => alpha.reduce((a, v, i) => a + v / sum * corners[i][k], 0));
}

function paint() {
  const g = generations.at(-1);
  if (!g) return;
  $("search-map").replaceChildren(g.experts.length === 3 ? triangle(g) : "");
  $("search-curve").replaceChildren(curve());
  $("search-about").textContent = t("search.about", { n: g.index + 1, most: g.most,
    best: g.experts.map((n, i) => `${n} ${g.best[i].toFixed(2)}`).join(", "), value: g.bestValue.toFixed(3),
    held: g.held < 0 ? "–" : percent(g.held) });
  $("search-done").textContent = found ? t("search.done", { right: percent(found.right), answers: found.answers,
    s: found.seconds.toFixed(1), stopped: t("stopped." + found.stopped) }) : "";
}

function triangle(g) {
  const elite = new Set(g.elites);
  const best = corner(g.best);
  return svg("svg", { viewBox: "0 0 100 96", class: "triangle", role: "img", "aria-label": t("search.map") },
    svg("polygon", { points: corners.map((c) => c.join(",")).join(" ") }),
    g.experts.map((n, i) => svg("text", { x: corners[i][0], y: corners[i][1] + (i ? 8 : -2), "text-anchor": "middle" }, n)),
    g.members.map((m, i) => { const [x, y] = corner(m); return svg("circle", { cx: x, cy: y, r: 0.8 + 0.7 * m.reduce((a, b) => a + b, 0), class: elite.has(i) ? "elite" : "" }); }),
    svg("path", { class: "best", d: `M${best[0] - 3} ${best[1]}h6M${best[0]} ${best[1] - 3}v6` }));
}

// curve draws the best value by generation and, dashed, its accuracy on examples it was not shown.
function curve() {
  const n = Math.max(generations.length, 2), x = (i) => 4 + 92 * i / (n - 1), y = (v) => 40 - 36 * v;
  const line = (f, c) => svg("polyline", { class: c, points: generations.map((g, i) => `${x(i)},${y(f(g))}`).join(" ") });
  return svg("svg", { viewBox: "0 0 100 44", class: "curve", role: "img", "aria-label": t("search.curve") },
    svg("line", { x1: 4, x2: 96, y1: 40, y2: 40 }), line((g) => g.bestValue, "shots"), line((g) => Math.max(g.held, 0), "held"));
}
