// Teach it: a z-vector trained in the tab by REINFORCE, on a task or on a reward that is chosen.

import { $, h, later, percent, save, within } from "./dom.js";
import { lines, tools } from "./figure.js";
import { t } from "./i18n.js";
import { set, state } from "./state.js";
import { app, ask, outcome, refresh, say } from "./app.js";

let running = null, paused = false, steps = [], samples = [], kept = null;

export function start() {
  $("teach-run").addEventListener("click", run);
  $("teach-pause").addEventListener("click", () => control("pause"));
  $("teach-resume").addEventListener("click", () => control("resume"));
  $("teach-seed").addEventListener("change", (e) => set({ seed: e.target.value }));
  changed(new Set(["seed"]));
  $("teach-stop").addEventListener("click", () => control("cancel"));
  $("teach-use").addEventListener("click", () => kept && set({ x: kept.name, c: "", view: "play" }));
  $("teach-save").addEventListener("click", take);
  $("teach-reward").addEventListener("change", () => { $("teach-word-row").hidden = $("teach-reward").value !== "says"; });
}

function control(action) {
  if (!running) return;
  app.engine.control(running.id, action);
  if (action === "pause") paused = true;
  if (action === "resume") paused = false;
  buttons();
}

// leave ends a training whose model goes.
export function leave() {
  if (running) say(t("ended.teach"), "warn");
  control("cancel");
  running = null;
  steps = [];
  samples = [];
  kept = null;
  buttons();
  paint();
}

export function changed(names) {
  if (names.has("seed")) $("teach-seed").value = state.seed;
}

export function loaded() {
  $("teach-task").replaceChildren(...app.model.tasks.filter((x) => !x.unseen && x.name !== "classify").map((x) => h("option", { value: x.name }, x.name)));
  $("teach-task").value = "polite";
  translated();
  buttons();
}

export function translated() {
  if (!app.model) return;
  const was = $("teach-reward").value || "brief";
  $("teach-reward").replaceChildren(h("option", { value: "" }, t("reward.task")),
    ...app.model.rewards.map((r) => h("option", { value: r }, t("reward." + r))), h("option", { value: "says" }, t("reward.says")));
  $("teach-reward").value = was;
  paint();
}

const buttons = () => within($("teach-run").parentElement, () => {
  $("teach-run").disabled = !app.model;
  $("teach-run").hidden = !!running;
  $("teach-pause").hidden = !running || paused;
  $("teach-resume").hidden = !running || !paused;
  $("teach-stop").hidden = !running;
  $("teach-use").hidden = !kept;
  $("teach-save").hidden = !kept;
});

async function run() {
  const reward = $("teach-reward").value, word = $("teach-word").value.trim();
  if (reward === "says" && !/^[\p{L}-]+$/u.test(word)) { say(t("teach.word"), "warn"); return; }
  steps = [];
  samples = [];
  kept = null;
  paused = false;
  const request = app.engine.request("train", { name: $("teach-name").value.trim() || "mine", task: $("teach-task").value,
    reward: reward === "says" ? "says:" + word : reward, steps: +$("teach-steps").value, prompts: 8, samples: 8, rate: 0.02, kl: 0.02,
    temperature: 1, scope: "all", seed: +state.seed, evalEvery: 10, evalItems: 40 },
  { onEvent: (type, body) => {
    if (running !== request) return;
    if (type === "step") steps.push(body);
    else if (type === "sample") { samples.unshift(body); samples.length = Math.min(samples.length, 6); }
    soon();
  } });
  running = request;
  buttons();
  paint();
  const done = await outcome(request);
  if (running !== request) return; // its model is gone
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
  tools($("teach-tools"), "teaching", () => t("teach.curve"), () => curve(plain, evals), () => [["step", "reward", "kl", "validation"],
    ...steps.map((s) => [s.step, s.metrics.accuracy ?? "", s.metrics.kl ?? "", s.metrics.validAccuracy ?? ""])]);
  $("teach-about").textContent = last ? t("teach.about", { step: last.step, steps: last.steps, reward: percent(last.metrics.accuracy),
    kl: (last.metrics.kl ?? 0).toFixed(3), s: last.seconds.toFixed(0) }) : t(running ? "teach.begins" : "teach.waiting");
  $("teach-figures").hidden = !steps.length;
  $("teach-samples").replaceChildren(...samples.map((s) => h("li", { "--p": s.reward.toFixed(2) },
    h("small", {}, s.prompt), h("p", {}, s.text || "∅"), h("span", { class: "value" }, percent(s.reward)))));
}

const curve = (plain, evals) => lines(t("teach.curve"), plain.at(-1)?.steps ?? +$("teach-steps").value,
  [{ class: "shots", points: plain.map((s) => [s.step, s.metrics.accuracy]) }], evals.map((s) => [s.step, s.metrics.validAccuracy]));

async function take() {
  const file = kept && await ask("export", { name: kept.name, voice: { expert: kept.name } });
  if (file) save(file.name, new Blob([Uint8Array.from(atob(file.data), (c) => c.charCodeAt(0))]));
}
