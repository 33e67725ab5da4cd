// The page: starts the engine, keeps state, address and views together.

import { $, h } from "./dom.js";
import { Engine, inWorker, overSocket } from "./engine.js";
import { Pair } from "./pair.js";
import { preferred, t, use } from "./i18n.js";
import { defaults, listen, named, read, set, state, voiceName, watch } from "./state.js";
import * as heat from "./heat.js";
import * as measure from "./measure.js";
import * as play from "./play.js";
import * as experts from "./experts.js";
import * as sigma from "./sigma.js";
import * as passes from "./passes.js";
import * as search from "./search.js";
import * as teach from "./teach.js";
import * as learn from "./learn.js";
import * as share from "./share.js";

const views = { play, experts, sigma, passes, search, teach, learn };
const parts = [...Object.values(views), heat, measure]; // what hears of changes

// app is what the views share.
export const app = { engine: null, model: null, hello: null, speed: null, experts: [] };

// say shows a sentence to the visitor: what went wrong, and what to do. detail is the engine's own
// sentence, which is English.
export function say(text, kind = "error", detail = "") {
  for (const n of $("notices").children) if (n.textContent.startsWith(text + detail)) n.remove();
  const note = h("p", { class: "notice " + kind, role: kind === "error" ? "alert" : "status" },
    h("span", {}, text, detail && h("small", { lang: "en" }, detail)),
    h("button", { class: "quiet", type: "button", "aria-label": t("close"), onclick: () => note.remove() }, "×"));
  $("notices").append(note);
  if ($("notices").childElementCount > 3) $("notices").firstChild.remove();
}

// ask is an engine's request whose failure the visitor is told; a cancelled one is none.
export const ask = (type, body, options) => outcome(app.engine.request(type, body, options));

// outcome waits for a request that was made already, as ask does.
export async function outcome(request) {
  try {
    return await request;
  } catch (e) {
    if (e.code !== "cancelled") complain(e);
    return null;
  }
}

const files = ["offline", "status", "altered"]; // their message is a file's name
const told = ["bad-request", "no-model", "version", "busy", "lost"]; // have a sentence of their own

// complain says what went wrong in the visitor's language.
function complain(e) {
  if (files.includes(e.code)) say(t("error." + e.code, { file: e.message }));
  else say(t("error." + (told.includes(e.code) ? e.code : "internal")), "error", e.message);
}

// refresh lists the experts anew, the visitor's own among them.
export function refresh(own) {
  if (own) {
    app.experts = [...app.experts.filter((e) => e.name !== own.name), own];
    heat.forget(own.name);
  }
  for (const v of parts) v.expertsChanged?.();
}

function show() {
  for (const name of Object.keys(views)) {
    $("view-" + name).hidden = name !== state.view;
    const tab = $("tab-" + name);
    tab.setAttribute("aria-current", name === state.view ? "page" : "false");
  }
  const tab = $("tab-" + state.view), bar = tab.parentElement; // on a narrow screen the tabs scroll
  bar.scrollLeft = tab.offsetLeft - bar.offsetLeft - (bar.clientWidth - tab.offsetWidth) / 2;
  document.body.dataset.view = state.view;
  const hidden = new Set(state.hide.split(","));
  for (const e of document.querySelectorAll("[data-hide]")) e.classList.toggle("left-out", hidden.has(e.dataset.hide));
  document.documentElement.dataset.theme = state.theme;
  $("theme").value = state.theme;
  $("who").textContent = voiceName();
  document.title = `${t("view." + state.view)} · Transformer²`;
}

function honesty() {
  const { hello, model, speed } = app;
  if (!hello || !model) return;
  $("strip").textContent = t("strip", { model: model.model, params: (model.params / 1e6).toFixed(2),
    weights: model.weights, kernel: hello.kernel, threads: threads(), engine: hello.engine,
    speed: speed ? Math.round(speed) : "–" }) + " " + t(hello.kernel === "webgpu" ? "strip.rounds" : "strip.exact");
  $("strip").title = hello.reason;
}

// threads is what computes, in words: threads of an engine, and how many engines there are.
function threads() {
  const n = app.hello.threads, workers = app.engine.workers;
  return workers > 1 ? t("strip.workers", { n: workers }) : t(n === 1 ? "strip.thread" : "strip.threads", { n });
}

// measured keeps the speed that the strip shows.
export function measured(tokensPerSecond) { app.speed = tokensPerSecond; honesty(); }

let full = false;
function storageFull() {
  if (!full) say(t("error.storage"), "warn");
  full = true;
}

function missing() {
  if (typeof Worker === "undefined") return t("missing.worker");
  const simd = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0,
    65, 0, 253, 15, 253, 98, 11]);
  if (typeof WebAssembly === "undefined" || !WebAssembly.validate(simd)) return t("missing.simd");
  if (typeof DecompressionStream === "undefined") return t("missing.old");
  return "";
}

async function load() {
  const bar = $("loading"), end = new AbortController();
  bar.hidden = false;
  $("load-cancel").hidden = false;
  $("load-again").hidden = true;
  $("load-cancel").onclick = () => end.abort();
  $("load-again").onclick = load;
  const loaded = await ask("load", { model: state.m }, { signal: end.signal, onEvent: (type, p) => {
    if (type !== "progress") return;
    bar.querySelector("progress").value = p.total ? p.done / p.total : 0;
    bar.querySelector("span").textContent = p.unit === "bytes"
      ? t("loading", { done: (p.done / 1e6).toFixed(1), total: (p.total / 1e6).toFixed(1) })
      : t(p.stage === "load" ? "loadingTensors" : "loadingMatrices", { done: p.done, total: p.total });
  } });
  $("load-cancel").hidden = true;
  if (!loaded) { // what went wrong is said; the visitor may try again
    bar.querySelector("span").textContent = t("notLoaded");
    $("load-again").hidden = false;
    return;
  }
  bar.hidden = true;
  app.model = loaded;
  app.experts = loaded.experts;
  document.documentElement.dataset.ready = loaded.model;
  honesty();
  heat.forget();
  const strangers = named().filter((n) => !app.experts.some((e) => e.name === n));
  if (strangers.length) { // a link may speak of another visitor's own expert
    if (state.x !== defaults.x) say(t("stranger", { names: strangers.join(", ") }), "warn");
    set({ x: "base", c: "" }, { replace: true });
  }
  for (const v of parts) v.loaded?.();
}

function wire(manifest) {
  for (const name of Object.keys(views)) $("tab-" + name).addEventListener("click", (e) => { e.preventDefault(); set({ view: name }); });
  const wide = matchMedia("(min-width: 52rem)"), fold = () => { $("settings").open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
  $("theme").addEventListener("change", (e) => set({ theme: e.target.value }));
  $("device").value = state.d;
  $("device").addEventListener("change", (e) => set({ d: e.target.value }));
  $("lang").addEventListener("click", () => set({ lang: (state.lang || preferred()) === "zh" ? "en" : "zh" }));
  share.start();
  listModels(manifest);
  $("device").disabled = natives(manifest).includes(state.m); // t2 serve was told what computes
  $("model").addEventListener("change", (e) => set({ m: e.target.value, z: "", k: "" }));
}

function listModels(manifest) {
  const option = (m) => h("option", { value: m }, m), near = natives(manifest);
  $("model").replaceChildren(...Object.keys(manifest.models).map(option),
    ...(near.length ? [h("optgroup", { label: t("model.native") }, near.map(option))] : []));
  $("model").value = state.m;
}

// change ends what runs with the model that goes, and loads the one that comes.
async function change() {
  for (const v of parts) v.leave?.();
  app.model = null;
  $("model").value = state.m;
  await load();
}

// computed are texts that say where it is computed: in the tab, or by t2 serve.
const computed = [["play.lead", "play.lead.native"], ["teach.lead", "teach.lead.native"]];

// natives are the models that t2 serve itself answers for.
const natives = (manifest) => manifest.native?.models ?? [];

// engines are t2 serve's for a model of its, else a worker, and a second one where there is a processor
// and memory for it.
function engines(manifest) {
  if (natives(manifest).includes(state.m)) return new Engine(overSocket(new URL(manifest.native.path, document.baseURI)));
  const one = new Engine(inWorker(manifest, document.baseURI, storageFull, state.d));
  const room = navigator.hardwareConcurrency >= 2 && (navigator.deviceMemory ?? 8) >= 2;
  return room ? new Pair(one, () => new Engine(inWorker(manifest, document.baseURI, () => {}, state.d))) : one;
}

async function start() {
  const { bad } = read();
  await use(state.lang || preferred());
  const manifest = await fetch("manifest.json", { cache: "no-cache" }).then((r) => r.json()).catch(() => null);
  if (!manifest) { say(t("error.offline", { file: "manifest.json" })); return; }
  const known = [...Object.keys(manifest.models), ...natives(manifest)];
  if (!known.includes(state.m)) { bad.push("m"); state.m = defaults.m; }
  if (bad.length) say(t("badLink", { names: bad.join(", ") }), "warn");
  listen((names) => say(t("badLink", { names: names.join(", ") }), "warn"));
  const native = natives(manifest).includes(state.m);
  if (native) for (const [tab, here] of computed) {
    const e = document.querySelector(`[data-t="${tab}"]`);
    e.dataset.t = here;
    e.textContent = t(here);
  }
  wire(manifest);
  for (const v of parts) v.start?.();
  watch(async (names) => {
    if (names.has("lang")) {
      await use(state.lang || preferred());
      listModels(manifest);
      for (const v of parts) v.translated?.();
      honesty();
    }
    show();
    const other = names.has("m") && natives(manifest).includes(state.m) !== native;
    if ((names.has("d") || other) && app.engine) { location.reload(); return; } // an engine keeps its device
    if (names.has("m") && app.engine) await change();
    for (const v of parts) v.changed?.(names);
  });
  show();
  const lack = native ? "" : missing();
  if (lack) { say(lack); return; }
  app.engine = engines(manifest);
  const hello = app.engine.request("hello");
  await load();
  app.hello = await hello.catch(() => null);
  if (state.d === "gpu" && !native && app.hello && app.hello.kernel !== "webgpu") say(t("device.none"), "warn", app.hello.reason);
  honesty();
  navigator.serviceWorker?.register("sw.js").catch(() => {}); // a page without offline use is still a page
}

start().catch((e) => say(e.message));
