// What the page shows, in one object and in the address: a link restores it, back and forward work.

import { t } from "./i18n.js";

export const defaults = {
  view: "play", m: "tako", p: "", x: "math", c: "", z: "", k: "", seed: "1", t: "0", topk: "0",
  topp: "1", minp: "0", mx: "3.gate", mode: "free", lesson: "", step: "0", lang: "", theme: "auto", hide: "",
  scale: "own", d: "auto",
};

const views = ["play", "experts", "sigma", "passes", "search", "teach", "learn"];

const number = (lo, hi, whole) => (v) =>
  /^-?\d*\.?\d+$/.test(v) && +v >= lo && +v <= hi && (!whole || Number.isInteger(+v));

const checks = {
  view: (v) => views.includes(v), seed: number(0, 2 ** 53, true), t: number(0, 5),
  topk: number(0, 1000, true), topp: number(0, 1), minp: number(0, 1), step: number(0, 99, true), hide: (v) => /^[a-z,]*$/.test(v),
  c: (v) => ["", "random", "shuffled"].includes(v), lang: (v) => ["", "en", "zh"].includes(v),
  mode: (v) => ["free", "forced"].includes(v), theme: (v) => ["auto", "light", "dark", "contrast"].includes(v), mx: (v) => /^\d+\.\w+$/.test(v),
  scale: (v) => ["own", "common"].includes(v), d: (v) => ["auto", "gpu", "cpu"].includes(v),
  x: (v) => /^[\p{L}\p{N}_-]+$/u.test(v) || mixOf(v).length > 0,
  z: (v) => v === "" || editsOf(v).length === v.split(",").length,
  k: (v) => v === "" || keepsOf(v).length === v.split(",").length,
};

export const state = { ...defaults };
const listeners = [];

// watch calls f with the names that changed.
export function watch(f) { listeners.push(f); }

function tell(names) { for (const f of listeners) f(new Set(names)); }

// set changes the state and the address; replace leaves no entry in the history. What no link may
// say is not taken, and whoever shows it hears of it.
export function set(changes, { replace = false } = {}) {
  const differ = Object.keys(changes).filter((n) => state[n] !== String(changes[n]));
  const names = differ.filter((n) => !checks[n] || checks[n](String(changes[n])));
  if (differ.length > names.length) tell(differ.filter((n) => !names.includes(n)));
  if (names.length === 0) return;
  for (const n of names) state[n] = String(changes[n]);
  const url = "#" + link();
  if (replace) history.replaceState(null, "", url); else history.pushState(null, "", url);
  tell(names);
}

const longest = 4000; // characters of a question that an address takes

// link is the state as the address has it, without what is as it always is or too long for it.
export function link(extra = {}) {
  const all = { ...state, ...extra }, q = new URLSearchParams();
  for (const n of Object.keys(defaults)) {
    if (all[n] !== defaults[n] && (n !== "p" || all.p.length <= longest)) q.set(n, all[n]);
  }
  return q.toString();
}

// read takes the state from the address and gives the names of what was not understood.
export function read() {
  const q = new URLSearchParams(location.hash.slice(1)), bad = [];
  const next = { ...defaults };
  for (const [n, v] of q) {
    if (!(n in defaults) || (checks[n] && !checks[n](v))) bad.push(n); else next[n] = v;
  }
  const names = Object.keys(next).filter((n) => next[n] !== state[n]);
  Object.assign(state, next);
  return { bad, names };
}

// listen follows back, forward and edits of the address.
export function listen(onBad) {
  addEventListener("popstate", () => {
    const { bad, names } = read();
    if (bad.length) onBad(bad);
    tell(names);
  });
}

const mixOf = (x) => x.includes(":")
  ? x.split(",").map((s) => s.match(/^([\p{L}\p{N}_-]+):(\d*\.?\d+)$/u)).filter(Boolean)
    .map(([, expert, alpha]) => ({ expert, alpha: +alpha })) : [];

const editsOf = (z) => z.split(",").map((s) => s.match(/^(\d+)\.(\w+)\.(\d+):(-?\d*\.?\d+)$/))
  .filter(Boolean).map(([, layer, role, index, v]) => ({ matrix: nameOf(layer + "." + role), index: +index, z: +v }));

const keepsOf = (k) => k.split(",").map((s) => s.match(/^(\d+)\.(\w+):(\d+)$/)).filter(Boolean)
  .map(([, layer, role, top]) => ({ matrix: nameOf(layer + "." + role), top: +top }));

// nameOf is a matrix's name in the model: "3.gate" is model.layers.3.mlp.gate_proj.weight.
export function nameOf(short) {
  const [layer, role] = short.split(".");
  const block = ["gate", "up", "down"].includes(role) ? "mlp" : "self_attn";
  return `model.layers.${layer}.${block}.${role}_proj.weight`;
}

// mix is the state's mixture, none where one expert is meant.
export const mix = () => mixOf(state.x);
export const edits = () => (state.z ? editsOf(state.z) : []);

// named are the experts that the state speaks of.
export const named = () => (mix().length ? mix().map((s) => s.expert) : state.x === "base" ? [] : [state.x]);

// voice is who the state says answers beside the base.
export function voice() {
  const v = {}, shares = mix();
  if (shares.length) v.mix = shares; else if (state.x !== "base") v.expert = state.x;
  if (state.c) { v.control = state.c; v.seed = +state.seed; }
  if (state.k) v.keep = keepsOf(state.k);
  if (state.z) v.edits = edits();
  return v;
}

// isBase tells whether the voice is the base itself.
export const isBase = () => Object.keys(voice()).length === 0;

export const sampling = () =>
  ({ temperature: +state.t, topK: +state.topk, topP: +state.topp, minP: +state.minp });

// voiceName is the voice in words.
export function voiceName() {
  const shares = mix();
  let name = shares.length ? shares.map((s) => `${s.expert} ${s.alpha}`).join(" + ") : state.x === "base" ? t("base") : state.x;
  if (state.c) name += ` (${state.c})`;
  if (state.z || state.k) name += " ✎";
  return name;
}
