// Teach it: a z-vector trained in the tab by REINFORCE, on a task or on a reward that is chosen.

import { $, h, later, percent, svg } from "./dom.js";
import { t } from "./i18n.js";
import { set } from "./state.js";
import { app, outcome, refresh, say } from "./app.js";

let running = null, steps = [], samples = [], kept = null;

export function start() {
  $("teach-run").addEventListener("click", run);
  $("teach-pause").addEventListener("click", () => control("pause"));
  $("teach-resume").addEventListener("click", () => control("resume"));
  $("teach-stop").addEventListener("click", () => control("cancel"));
  $("teach-use").addEventListener("click", () => kept && set({ x: kept.name, c: "", view: "play" }));
  $("teach-reward").addEventListener("change", () => { $("teach-word-row").hidden = $("teach-reward").value !== "says"; });
}

const control = (action) => running && app.engine.control(running.id, action);

export function loaded() {
  $("teach-task").replaceChildren(...app.model.tasks.filter((x) => !x.unseen && x.name !== "classify").map((x) => h("option", { value: x.name }, x.name)));
  $("teach-task").value = "polite";
  translated();
  buttons();
}

export function translated() {
  if (!app.model) return;
  const was = $("teach-reward").value || "lower";
  $("teach-reward").replaceChildren(h("option", { value: "" }, t("reward.task")),
    ...app.model.rewards.map((r) => h("option", { value: r }, t("reward." + r))), h("option", { value: "says" }, t("reward.says")));
  $("teach-reward").value = was;
  paint();
}

function buttons() {
  $("teach-run").disabled = !app.model || !!running;
  for (const id of ["pause", "resume", "stop"]) $("teach-" + id).disabled = !running;
  $("teach-use").disabled = !kept;
}

async function run() {
  const reward = $("teach-reward").value, word = $("teach-word").value.trim();
  if (reward === "says" && !/^[\p{L}-]+$/u.test(word)) { say(t("teach.word"), "warn"); return; }
  steps = [];
  samples = [];
  kept = null;
  const request = app.engine.request("train", { name: $("teach-name").value.trim() || "mine", task: $("teach-task").value,
    reward: reward === "says" ? "says:" + word : reward, steps: +$("teach-steps").value, prompts: 8, samples: 8, rate: 0.02, kl: 0.02,
    temperature: 1, scope: "all", seed: +$("teach-seed").value, evalEvery: 10, evalItems: 40 },
  { onEvent: (type, body) => {
    if (type === "step") steps.push(body);
    else if (type === "sample") { samples.unshift(body); samples.length = Math.min(samples.length, 6); }
    soon();
  } });
  running = request;
  buttons();
  const done = await outcome(request);
  running = null;
  if (done) { kept = done.expert; refresh(kept); say(t("teach.kept", { name: kept.name }), "done"); }
  buttons();
  paint();
}

const soon = later(paint);

function paint() {
  const plain = steps.filter((s) => !s.eval), evals = steps.filter((s) => s.eval);
  const last = plain.at(-1);
  $("teach-curve").replaceChildren(curve(plain, evals));
  $("teach-about").textContent = last ? t("teach.about", { step: last.step, steps: last.steps, reward: percent(last.metrics.accuracy),
    kl: (last.metrics.kl ?? 0).toFixed(3), s: last.seconds.toFixed(0) }) : t("teach.waiting");
  $("teach-samples").replaceChildren(...samples.map((s) => h("li", { "--p": s.reward.toFixed(2) },
    h("small", {}, s.prompt), h("p", {}, s.text || "∅"), h("span", { class: "value" }, percent(s.reward)))));
}

function curve(plain, evals) {
  const most = Math.max(plain.at(-1)?.steps ?? 10, 2), x = (s) => 4 + 92 * s / most, y = (v) => 40 - 36 * v;
  return svg("svg", { viewBox: "0 0 100 44", class: "curve", role: "img", "aria-label": t("teach.curve") },
    svg("line", { x1: 4, x2: 96, y1: 40, y2: 40 }),
    svg("polyline", { class: "shots", points: plain.map((s) => `${x(s.step)},${y(s.metrics.accuracy)}`).join(" ") }),
    evals.map((s) => svg("circle", { cx: x(s.step), cy: y(s.metrics.validAccuracy), r: 1.2, class: "elite" })));
}
