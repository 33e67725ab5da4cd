// Figures that can be taken along: as SVG, PNG or CSV, with the seed and the link in the caption.

import { h, save, svg } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const copied = ["fill", "stroke-opacity", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "font-family",
  "font-size", "font-weight", "text-anchor", "opacity"];

// tools puts the three buttons below a figure. draw gives an SVG of width × height, rows its numbers
// with a header first; both are asked when a button is pressed.
export function tools(host, name, title, draw, rows) {
  const button = (kind, f) => h("button", { type: "button", class: "tool", "aria-label": t("figure.save", { kind, title: title() }), onclick: f }, kind);
  host.replaceChildren(
    button("SVG", () => save(name + ".svg", new Blob([text(draw(), title())], { type: "image/svg+xml" }))),
    button("PNG", () => png(name, text(draw(), title()))),
    button("CSV", () => save(name + ".csv", new Blob([csv(rows())], { type: "text/csv" }))));
}

const caption = (title) => [title, t("figure.seed", { seed: state.seed, model: state.m, voice: state.x }), location.href];

// text is a drawing on its own: computed styles become attributes, since no sheet goes with it.
function text(drawing, title) {
  const shelf = h("div", { class: "shelf", "aria-hidden": "true" }, drawing);
  document.body.append(shelf);
  const page = getComputedStyle(document.body);
  const copy = drawing.cloneNode(true);
  const from = [drawing, ...drawing.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const p of copied) to[i].setAttribute(p, style.getPropertyValue(p));
    to[i].removeAttribute("class");
  });
  shelf.remove();
  const [, , w, height] = drawing.getAttribute("viewBox").split(" ").map(Number);
  const size = w / 58, lines = caption(title).flatMap((line) => line.match(/.{1,95}/gu) ?? []);
  const all = height + size * 1.5 * (lines.length + 1);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 0 ${w} ${all}`);
  copy.setAttribute("width", 960);
  copy.setAttribute("height", Math.round(960 * all / w));
  copy.prepend(svg("rect", { width: w, height: all, fill: page.backgroundColor }));
  copy.append(...lines.map((line, i) => svg("text", { x: size, y: height + size * 1.5 * (i + 1), fill: page.color,
    "font-size": size, "font-family": "system-ui, sans-serif", "text-anchor": "start" }, line)));
  return new XMLSerializer().serializeToString(copy);
}

async function png(name, source) {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(source);
  await image.decode();
  const canvas = h("canvas", { width: image.width * 2, height: image.height * 2 });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(name + ".png", blob));
}

const cell = (v) => (/[",\n]/.test(v) ? `"${String(v).replaceAll('"', '""')}"` : v);
const csv = (rows) => [...rows, ["# " + caption("").slice(1).join(" ")]].map((r) => r.map(cell).join(",")).join("\n") + "\n";

// barsDrawing draws distributions below each other: [{name, side, choice}].
export function barsDrawing(groups, shown) {
  const row = 18, parts = [];
  let y = 10;
  for (const g of groups) {
    parts.push(svg("text", { class: "ink strong", x: 10, y: y + 12, "font-size": 13 }, g.name));
    y += 24;
    for (const a of g.choice.top) {
      const p = Math.exp(a.logProb);
      parts.push(svg("text", { class: "ink", x: 128, y: y + 12, "text-anchor": "end", "font-size": 12 }, shown(a.text)),
        svg("rect", { class: "fill-" + g.side, x: 138, y: y + 3, width: 400 * p, height: 11 }),
        svg("text", { class: "ink", x: 144 + 400 * p, y: y + 12, "font-size": 11 }, p.toFixed(4)));
      y += row;
    }
    y += 12;
  }
  return svg("svg", { viewBox: `0 0 640 ${y}` }, parts);
}

export const barsRows = (groups) => [["voice", "token", "probability"],
  ...groups.flatMap((g) => g.choice.top.map((a) => [g.name, a.text, Math.exp(a.logProb)]))];

// lines draws curves over a step axis, values from 0 to 1, and dots. A curve is {class, points:
// [[x, y]]}; it may have a band around it and a name at its end.
export function lines(label, most, curves, dots = []) {
  const named = curves.some((c) => c.name), right = named ? 320 : 390;
  const X = (v) => 44 + (right - 44) * v / Math.max(most, 1), Y = (v) => 150 - 136 * Math.max(0, Math.min(1, v));
  const path = (points) => points.map(([x, y]) => `${X(x)},${Y(y)}`).join(" ");
  const ends = apart(curves.map((c) => (c.points.length ? Y(c.points.at(-1)[1]) : 0)));
  return svg("svg", { viewBox: "0 0 400 172", class: "curve", role: "img", "aria-label": label },
    [0, 0.25, 0.5, 0.75, 1].map((v) => svg("g", { class: "tick" }, svg("line", { x1: 44, x2: right, y1: Y(v), y2: Y(v) }),
      svg("text", { x: 38, y: Y(v) + 4, "text-anchor": "end" }, (100 * v) + "%"))),
    svg("text", { x: 44, y: 166 }, "0"), svg("text", { x: right, y: 166, "text-anchor": "end" }, most),
    curves.map((c) => c.band && svg("polygon", { class: "band " + c.class, points: path(c.band) })),
    curves.map((c, i) => [svg("polyline", { class: c.class, points: path(c.points) }),
      c.points.length === 1 ? svg("circle", { class: "dot " + c.class, cx: X(c.points[0][0]), cy: Y(c.points[0][1]), r: 3 }) : null,
      c.name && c.points.length ? svg("text", { class: "name", x: X(c.points.at(-1)[0]) + 6, y: ends[i] + 4 }, c.name) : null]),
    dots.map(([x, y]) => svg("circle", { class: "elite", cx: X(x), cy: Y(y), r: 4 })));
}

// apart moves heights of names away from each other, so that all can be read.
function apart(heights, least = 12) {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]), out = [...heights];
  for (let k = 1; k < order.length; k++) out[order[k]] = Math.max(out[order[k]], out[order[k - 1]] + least);
  return out;
}
