// Heat maps of mean |z − 1|: how far a voice is from the base, matrix by matrix. Shading goes from 0
// to the voice's own largest, or to the largest of all experts, so that they can be compared.

import { h, svg } from "./dom.js";
import { t } from "./i18n.js";
import { set, state } from "./state.js";
import { app, ask } from "./app.js";

export const roles = ["q", "k", "v", "o", "gate", "up", "down"];
const known = new Map(); // an expert's name -> its cells

// learn fills in the heat of all experts that it is not known of yet, and calls each after each.
export async function learn(each = () => {}) {
  const model = app.model;
  for (const e of app.experts) {
    if (known.has(e.name)) continue;
    const heat = await ask("heat", { voice: { expert: e.name } });
    if (app.model !== model) return;
    if (heat) known.set(e.name, heat.cells);
    each();
  }
}

// forget drops an expert that changed, or all with the model.
export const forget = (name) => (name ? known.delete(name) : known.clear());
export const of = (name) => known.get(name);

const largest = (cells) => Math.max(...cells.map((c) => c.meanAbs), 1e-9);
const most = (cells) => (state.scale === "common" ? Math.max(...[...known.values()].map(largest), 1e-9) : largest(cells));
const shade = (cell, top) => Math.min(1, cell.meanAbs / top).toFixed(3);
const value = (v) => (v ? v.toFixed(3).replace(/^0/, "") : "0");

// start wires every switch of the scale.
export function start() {
  for (const box of document.querySelectorAll(".scale-switch")) {
    box.addEventListener("change", () => set({ scale: box.checked ? "common" : "own" }));
  }
}

// legend says what the darkest shade stands for.
export function legend(cells) {
  for (const box of document.querySelectorAll(".scale-switch")) box.checked = state.scale === "common";
  if (state.scale !== "common" && !cells) return [t("heat.each")];
  const end = cells || known.size ? value(most(cells ?? [])) : "";
  return [h("span", { class: "number" }, "0"), h("span", { class: "ramp", "aria-hidden": "true" }), h("span", { class: "number" }, end), " ",
    t(state.scale === "common" ? "heat.common" : "heat.own")];
}

// table is the map whose cells can be opened: layers by roles. short is a matrix's short name.
export function table(cells, layers, short, caption) {
  const at = new Map(cells.map((c) => [short(c.matrix), c])), top = most(cells);
  const cell = (name) => {
    const c = at.get(name), text = value(c.meanAbs);
    return h("td", {}, h("button", { type: "button", "--heat": shade(c, top), "aria-pressed": state.mx === name ? "true" : "false",
      "aria-label": t("sigma.cell", { matrix: name, v: text }), onclick: () => set({ mx: name }) }, text));
  };
  return h("table", { class: "heat" }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, h("td"), roles.map((r) => h("th", { scope: "col" }, r)))),
    h("tbody", {}, Array.from({ length: layers }, (_, l) => h("tr", {},
      h("th", { scope: "row" }, l), roles.map((r) => cell(l + "." + r))))));
}

// fold is a small map without numbers, for a card.
export function fold(cells) {
  const n = cells.length / roles.length, top = most(cells);
  return svg("svg", { class: "fold", viewBox: `0 0 ${roles.length} ${n}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    cells.map((c, i) => svg("rect", { x: i % roles.length, y: Math.floor(i / roles.length), width: 1, height: 1,
      "fill-opacity": shade(c, top) })));
}

// drawing is the map as a figure.
export function drawing(cells) {
  const top = most(cells), w = 80, hh = 34, layers = cells.length / roles.length;
  return svg("svg", { viewBox: `0 0 ${34 + w * roles.length} ${30 + hh * layers}`, class: "map" },
    roles.map((r, i) => svg("text", { class: "ink", x: 30 + w * (i + 0.5), y: 20, "text-anchor": "middle", "font-size": 14 }, r)),
    Array.from({ length: layers }, (_, l) => svg("text", { class: "ink", x: 20, y: 30 + hh * (l + 0.6), "text-anchor": "end", "font-size": 14 }, l)),
    cells.map((c, i) => {
      const x = 30 + w * (i % roles.length), y = 28 + hh * Math.floor(i / roles.length);
      return [svg("rect", { class: "fill-1", x, y, width: w - 2, height: hh - 2, rx: 2, "fill-opacity": (0.08 + 0.6 * shade(c, top)).toFixed(3) }),
        svg("text", { class: "ink", x: x + w / 2, y: y + 21, "text-anchor": "middle", "font-size": 13 }, value(c.meanAbs))];
    }));
}

// rows are its numbers.
export const rows = (cells, short) => [["matrix", "mean |z-1|", "|z-1|", "min", "max"],
  ...cells.map((c) => [short(c.matrix), c.meanAbs, c.l2, c.min, c.max])];
