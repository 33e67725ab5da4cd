// The Σ view: where an expert does its work, and every singular value as a dial.

import { $, later, renew, shown, svg } from "./dom.js";
import { t } from "./i18n.js";
import { edits, nameOf, set, state, voice, voiceName } from "./state.js";
import { app, ask } from "./app.js";
import { bars } from "./play.js";
import { barsDrawing, barsRows, tools } from "./figure.js";
import * as heat from "./heat.js";

const undo = [];
let spectrum = null, chosen = 0, asking = false, again = false;

export function start() {
  const slider = $("dial");
  slider.addEventListener("input", () => { edit(chosen, +slider.value, true); });
  slider.addEventListener("change", () => { edit(chosen, +slider.value); });
  $("dial-index").addEventListener("input", (e) => choose(+e.target.value));
  $("zero").addEventListener("click", () => edit(chosen, 0));
  $("one").addEventListener("click", () => edit(chosen, 1));
  $("keep").addEventListener("change", (e) => keep(+e.target.value));
  $("undo").addEventListener("click", () => { if (undo.length) set(undo.pop()); });
  $("reset").addEventListener("click", () => remember({ z: "", k: "" }));
  $("spectrum").addEventListener("pointerdown", drag);
  narrow.addEventListener("change", () => spectrum && paint());
}

export const loaded = () => changed(new Set(["x", "mx", "view"]));
export const translated = () => loaded();

export function changed(names) {
  if (!app.model || state.view !== "sigma") return;
  if (["x", "c", "z", "k", "mx", "view", "seed", "scale"].some((n) => names.has(n))) look();
  if (["x", "c", "z", "k", "p", "view"].some((n) => names.has(n))) next();
  $("undo").disabled = undo.length === 0;
}

async function look() {
  if (state.scale === "common") await heat.learn();
  const map = await ask("heat", { voice: voice() });
  if (map) {
    const title = () => t("sigma.heat", { who: voiceName() });
    renew($("heat"), heat.table(map.cells, app.model.layers, byShort, title()));
    $("heat-scale").replaceChildren(...heat.legend(map.cells));
    tools($("heat-tools"), "heat", title, () => heat.drawing(map.cells), () => heat.rows(map.cells, byShort));
  }
  const s = await ask("spectrum", { matrix: nameOf(state.mx), voice: voice() });
  if (!s) return;
  spectrum = s;
  chosen = Math.min(chosen, s.z.length - 1);
  paint();
}

const byShort = (name) => {
  const m = app.model.matrices.find((x) => x.name === name);
  return m.layer + "." + m.role;
};

// The figure has its own units; on a narrow screen fewer of them, so that it stays high enough.
const narrow = matchMedia("(max-width: 40rem)");
const LEFT = 40, H = 260, BOTTOM = 24;
const width = () => (narrow.matches ? 380 : 640);

function scales() {
  const W = width(), n = spectrum.sigma.length, scaled = spectrum.sigma.map((s, i) => Math.abs(s * spectrum.z[i]));
  const top = Math.log10(Math.max(2 * Math.max(...spectrum.sigma), 1.2 * Math.max(...scaled)));
  const low = Math.log10(Math.max(Math.min(...spectrum.sigma.filter((s) => s > 0)), 1e-6) / 4);
  return { W, n, x: (i) => LEFT + (i + 0.5) * (W - LEFT) / n,
    y: (s) => (H - BOTTOM) * (1 - (Math.log10(Math.max(Math.abs(s), 10 ** low)) - low) / (top - low)), low, top };
}

const superscript = (e) => String(e).replace(/[-\d]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

// paint draws σ, σ·z and the energy that the first values hold.
function paint() {
  const { W, n, x, y, low, top } = scales(), { sigma, z } = spectrum, bar = (W - LEFT) / n;
  const ticks = [];
  for (let e = Math.ceil(low); e <= top; e++) ticks.push(e);
  const all = sigma.reduce((a, s) => a + s * s, 0);
  let sum = 0;
  const energy = sigma.map((s, i) => { sum += s * s; return `${x(i)},${(H - BOTTOM) * (1 - sum / all)}`; });
  $("spectrum").setAttribute("viewBox", `0 0 ${W} ${H}`);
  $("spectrum").replaceChildren(
    ...ticks.map((e) => svg("g", { class: "tick" }, svg("line", { x1: LEFT, x2: W, y1: y(10 ** e), y2: y(10 ** e) }),
      svg("text", { x: LEFT - 6, y: y(10 ** e) + 4 }, "10" + superscript(e)))),
    svg("path", { class: "sigma", d: sigma.map((s, i) => `M${x(i)} ${H - BOTTOM}V${y(s)}`).join(""), "stroke-width": bar * 0.7 }),
    svg("path", { class: "scaled", d: sigma.map((s, i) => `M${x(i) - bar * 0.45} ${y(s * z[i])}h${bar * 0.9}`).join("") }),
    svg("polyline", { class: "energy", points: energy.join(" ") }),
    svg("line", { class: "chosen", x1: x(chosen), x2: x(chosen), y1: 0, y2: H - BOTTOM }),
    svg("text", { class: "axis", x: W - 8, y: H - 7 }, t("sigma.index", { n: n - 1 })));
  tools($("spectrum-tools"), "spectrum-" + state.mx, () => t("sigma.figure", { matrix: state.mx, who: voiceName() }),
    () => $("spectrum").cloneNode(true), () => [["index", "sigma", "z"], ...sigma.map((s, i) => [i, s, z[i]])]);
  const title = () => t("sigma.histogramOf", { matrix: state.mx, who: voiceName() });
  $("histogram").replaceChildren(histogram(z));
  tools($("histogram-tools"), "z-" + state.mx, title, () => histogram(z), () => [["index", "z"], ...z.map((v, i) => [i, v])]);
  $("sigma-about").textContent = t("sigma.about", { matrix: state.mx, out: spectrum.matrix.out, in: spectrum.matrix.in,
    r: n, rank: spectrum.effectiveRank.toFixed(1), side: spectrum.left ? "U" : "V" });
  $("dial-index").max = n - 1;
  $("keep").max = n;
  $("keep").value = keptNow() ?? n;
  $("keep-value").textContent = $("keep").value;
  choose(chosen, true);
}

// histogram counts z; the line is 1, where the base is.
function histogram(z) {
  const bins = 41, lo = Math.min(0, ...z), hi = Math.max(2, ...z), counts = Array(bins).fill(0);
  for (const v of z) counts[Math.min(bins - 1, Math.floor((v - lo) / (hi - lo) * bins))]++;
  const most = Math.max(...counts), X = (v) => 8 + (v - lo) / (hi - lo) * 384, width = 384 / bins;
  return svg("svg", { viewBox: "0 0 400 130", role: "img", class: "histogram", "aria-label": t("sigma.histogram", { lo: lo.toFixed(1), hi: hi.toFixed(1) }) },
    svg("line", { class: "one", x1: X(1), x2: X(1), y1: 4, y2: 108 }),
    counts.map((c, i) => svg("rect", { class: "fill-1", x: 8 + i * width, width: width - 1.5, y: 108 - 100 * c / most, height: 100 * c / most })),
    svg("line", { class: "axis", x1: 8, x2: 392, y1: 108, y2: 108 }),
    [lo, 1, hi].map((v) => svg("text", { x: X(v), y: 124, "text-anchor": v === lo ? "start" : v === hi ? "end" : "middle" }, v.toFixed(1))));
}

function choose(i, silent) {
  if (!spectrum) return;
  chosen = Math.max(0, Math.min(i, spectrum.z.length - 1));
  $("dial-index").value = chosen;
  $("dial").value = spectrum.z[chosen];
  $("dial-value").textContent = t("sigma.dial", { i: chosen, sigma: spectrum.sigma[chosen].toFixed(3), z: spectrum.z[chosen].toFixed(2) });
  if (!silent) paint();
}

function remember(changes) {
  undo.push({ z: state.z, k: state.k });
  set(changes);
}

// edit sets one dial. While it moves, the address is only replaced: one undo a movement.
let before = null;
function edit(i, z, moving) {
  if (!spectrum) return;
  spectrum.z[i] = z;
  before ??= { z: state.z, k: state.k };
  const others = edits().filter((e) => !(e.matrix === nameOf(state.mx) && e.index === i))
    .map((e) => `${byShort(e.matrix)}.${e.index}:${e.z}`);
  const text = [...others, `${state.mx}.${i}:${+z.toFixed(3)}`].join(",");
  if (moving) { set({ z: text }, { replace: true }); return; }
  undo.push(before);
  before = null;
  set({ z: text }, { replace: true });
  $("undo").disabled = false;
}

const keptNow = () => {
  const part = state.k.split(",").find((s) => s.startsWith(state.mx + ":"));
  return part ? +part.split(":")[1] : undefined;
};

function keep(top) {
  const others = state.k.split(",").filter((s) => s && !s.startsWith(state.mx + ":"));
  remember({ k: (top >= spectrum.z.length ? others : [...others, `${state.mx}:${top}`]).join(",") });
}

// drag moves a dial by its bar: up is louder.
function drag(e) {
  if (!spectrum) return;
  const box = $("spectrum").getBoundingClientRect(), { W, n } = scales();
  const at = ((e.clientX - box.left) / box.width * W - LEFT) / (W - LEFT) * n;
  if (at < 0) return;
  choose(Math.floor(at));
  const from = spectrum.z[chosen], y0 = e.clientY;
  const z = (ev) => Math.max(-1, Math.min(4, from + (y0 - ev.clientY) / 60));
  const move = later(() => edit(chosen, last, true));
  let last = from;
  const onMove = (ev) => { last = z(ev); move(); };
  $("spectrum").setPointerCapture(e.pointerId);
  $("spectrum").addEventListener("pointermove", onMove);
  $("spectrum").addEventListener("pointerup", () => {
    $("spectrum").removeEventListener("pointermove", onMove);
    if (last !== from) edit(chosen, last);
  }, { once: true });
}

// next shows how the next token's distribution moves; one question at a time, always the newest.
async function next() {
  if (asking) { again = true; return; }
  if (!state.p.trim()) return;
  asking = true;
  const d = await ask("next", { prompt: state.p, voices: [{}, voice()], top: 8 });
  asking = false;
  if (d) {
    $("next").replaceChildren(bars(t("base"), 0, d.voices[0]), bars(voiceName(), 1, d.voices[1]));
    $("next-about").textContent = t("sigma.next", { ms: d.ms.toFixed(0), kl: d.voices[1].kl.toFixed(4) });
    const groups = [t("base"), voiceName()].map((name, side) => ({ name, side, choice: d.voices[side] }));
    tools($("next-tools"), "next-token", () => t("sigma.nextTitle") + " · " + state.p.slice(0, 80), () => barsDrawing(groups, shown),
      () => barsRows(groups));
  }
  if (again) { again = false; next(); }
}
