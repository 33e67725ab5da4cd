// Experts: cards, mixtures, honest controls, files in and out.

import { $, h, percent, renew, save } from "./dom.js";
import { described, t } from "./i18n.js";
import { isBase, mix, set, state, voice, voiceName } from "./state.js";
import { app, ask, refresh, say } from "./app.js";
import * as heat from "./heat.js";
import { pad } from "./triangle.js";

const corners = ["math", "code", "reasoning"]; // of the triangle, unless three others are mixed
let abort = null, glanced = "";

export function start() {
  for (const c of ["", "random", "shuffled"]) {
    $("control-" + (c || "none")).addEventListener("change", () => set({ c }));
  }
  const drop = $("drop");
  drop.addEventListener("change", (e) => { for (const f of e.target.files) bring(f); e.target.value = ""; });
  addEventListener("dragover", (e) => e.preventDefault());
  addEventListener("drop", (e) => { e.preventDefault(); for (const f of e.dataTransfer.files) bring(f); });
  $("export").addEventListener("click", take);
  $("remove").addEventListener("click", remove);
}

export function loaded() {
  glanced = "";
  paint();
  glance();
  expertsChanged();
}

export async function expertsChanged() {
  await heat.learn(paint);
}

export const leave = () => abort?.abort();

export const changed = () => { paint(); glance(); };
export const translated = () => paint();

// own is the visitor's own expert, where that answers.
const own = () => app.experts.find((e) => e.name === state.x && !e.shipped);

async function remove() {
  const { name } = own();
  if (!await ask("forget", { expert: name })) return;
  app.experts = app.experts.filter((e) => e.name !== name);
  heat.forget(name);
  set({ x: "base", c: "" });
  refresh();
  say(t("experts.removed", { name }), "done");
}

const mixable = () => app.experts.filter((e) => e.task !== "classify");
const short = (v) => +v.toFixed(2);

function paint() {
  if (!app.model) return;
  $("control-" + (state.c || "none")).checked = true;
  const shares = mix();
  $("export").disabled = isBase();
  $("remove").hidden = !own();
  $("remove").textContent = t("experts.remove", { name: state.x });
  $("cards-scale").replaceChildren(...heat.legend());
  renew($("cards"), card({ name: "base", numbers: 0, accuracy: -1, task: "" }), ...app.experts.map(card));
  if (!$("mixer").contains(document.activeElement)) { // a slider that is being moved stays
    $("mixer").replaceChildren(...mixable().map((e) => {
      const share = shares.find((s) => s.expert === e.name);
      const alpha = share ? share.alpha : state.x === e.name ? 1 : 0;
      const out = h("output", {}, alpha.toFixed(2));
      return h("label", {}, h("span", {}, e.name), h("input", { type: "range", min: 0, max: 1, step: 0.05, value: alpha,
        "data-expert": e.name, oninput: (ev) => { out.textContent = (+ev.target.value).toFixed(2); }, onchange: mixed }), out);
    }));
  }
  if (!$("triangle").contains(document.activeElement)) triangle(shares);
}

// triangle is for three: those that are mixed, or the three that the first pass can choose.
function triangle(shares) {
  const names = shares.length === 3 ? shares.map((s) => s.expert) : corners.filter((n) => app.experts.some((e) => e.name === n));
  if (names.length < 3) { $("triangle").replaceChildren(); return; }
  const alpha = names.map((n) => shares.find((s) => s.expert === n)?.alpha ?? (state.x === n ? 1 : 0));
  $("triangle").replaceChildren(pad(names, alpha.some((a) => a > 0) ? alpha : [1 / 3, 1 / 3, 1 / 3], t("experts.triangle"), (now, rest) => {
    const x = now.map((a, i) => `${names[i]}:${short(a)}`).join(",");
    set({ x, c: "" }, { replace: !rest });
  }));
}

// glance answers the question as the base and as the voice, as far as it fits in a line or two.
async function glance() {
  if (!app.model || state.view !== "experts" || !state.p.trim()) return;
  const wanted = JSON.stringify([state.m, state.p, voice(), state.seed]);
  if (wanted === glanced) return;
  glanced = wanted;
  abort?.abort();
  abort = new AbortController();
  const mine = abort, said = ["", ""];
  await ask("generate", { prompt: state.p, voices: [{}, voice()], maxTokens: 48, top: 0, sampling: { temperature: 0, topK: 0, topP: 1, minP: 0 }, seed: +state.seed },
    { signal: mine.signal, onEvent: (type, body) => { if (type === "answer") said[body.voice] = body.text; } });
  if (mine !== abort) return;
  $("glance").replaceChildren(h("p", { class: "question" }, state.p),
    ...said.map((text, i) => h("p", { class: "side-" + i }, h("strong", {}, i ? voiceName() : t("base")), " ", h("code", {}, text))));
}

// mixed reads the sliders.
function mixed() {
  const parts = [...$("mixer").querySelectorAll("input")].filter((i) => +i.value > 0).map((i) => [i.dataset.expert, +i.value]);
  const x = parts.length === 0 ? "base" : parts.length === 1 && parts[0][1] === 1 ? parts[0][0]
    : parts.map(([n, a]) => `${n}:${a}`).join(",");
  set({ x, c: x === "base" ? "" : state.c });
}

function card(e) {
  const on = state.x === e.name;
  return h("button", { type: "button", class: "card", "aria-pressed": on ? "true" : "false", onclick: () => set({ x: e.name, c: "" }) },
    h("strong", {}, e.name === "base" ? t("base") : e.name),
    h("span", { class: "doc" }, e.name === "base" ? t("experts.base") : described(e.task)),
    heat.fold(heat.of(e.name) ?? []),
    e.numbers ? h("small", {}, t("experts.about", { numbers: e.numbers.toLocaleString("en"), share: (100 * e.numbers / app.model.params).toFixed(2) }),
      e.accuracy >= 0 ? " · " + t("experts.valid", { p: percent(e.accuracy) }) : "") : null);
}

async function bring(file) {
  if (file.size > 20e6) { say(t("experts.large", { name: file.name })); return; }
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  const name = file.name.replace(/\.safetensors$/, "").replace(/[^\p{L}\p{N}_-]/gu, "-").slice(0, 40) || "expert";
  const e = await ask("import", { name, data: btoa(text) });
  if (!e) return;
  say(t("experts.imported", { name: e.name }), "done");
  refresh(e);
  set({ x: e.name, c: "" });
}

async function take() {
  const name = state.x.replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 40);
  const file = await ask("export", { name, voice: voice() });
  if (file) save(file.name, new Blob([Uint8Array.from(atob(file.data), (c) => c.charCodeAt(0))]));
}
