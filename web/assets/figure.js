// Figures that can be taken along: as SVG, PNG or CSV, with the seed and the link in the caption.

import { h, save, svg } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const copied = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "font-family",
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

// heatDrawing draws a heat map: layers below each other, roles beside each other.
export function heatDrawing(cells, roles) {
  const most = Math.max(...cells.map((c) => c.meanAbs), 1e-9), w = 80, hh = 34;
  const layers = cells.length / roles.length;
  return svg("svg", { viewBox: `0 0 ${40 + w * roles.length} ${30 + hh * layers}` },
    roles.map((r, i) => svg("text", { class: "ink", x: 30 + w * (i + 0.5), y: 20, "text-anchor": "middle", "font-size": 13 }, r)),
    Array.from({ length: layers }, (_, l) => svg("text", { class: "ink", x: 20, y: 30 + hh * (l + 0.6), "text-anchor": "end", "font-size": 13 }, l)),
    cells.map((c, i) => {
      const x = 30 + w * (i % roles.length), y = 28 + hh * Math.floor(i / roles.length);
      return [svg("rect", { class: "fill-1", x, y, width: w - 2, height: hh - 2, "fill-opacity": (0.08 + 0.7 * c.meanAbs / most).toFixed(3) }),
        svg("text", { class: "ink", x: x + w / 2, y: y + 20, "text-anchor": "middle", "font-size": 11 }, c.meanAbs.toFixed(3))];
    }));
}

// lines draws curves over a step axis, values from 0 to 1: [{class, points: [[x, y]]}], and dots.
export function lines(label, most, curves, dots = []) {
  const X = (v) => 34 + 356 * v / Math.max(most, 1), Y = (v) => 150 - 136 * Math.max(0, Math.min(1, v));
  return svg("svg", { viewBox: "0 0 400 172", class: "curve", role: "img", "aria-label": label },
    [0, 0.25, 0.5, 0.75, 1].map((v) => svg("g", { class: "tick" }, svg("line", { x1: 34, x2: 390, y1: Y(v), y2: Y(v) }),
      svg("text", { x: 28, y: Y(v) + 4, "text-anchor": "end" }, (100 * v) + "%"))),
    svg("text", { x: 34, y: 166 }, "0"), svg("text", { x: 390, y: 166, "text-anchor": "end" }, most),
    curves.map((c) => [svg("polyline", { class: c.class, points: c.points.map(([x, y]) => `${X(x)},${Y(y)}`).join(" ") }),
      c.points.length === 1 ? svg("circle", { class: "dot " + c.class, cx: X(c.points[0][0]), cy: Y(c.points[0][1]), r: 3 }) : null]),
    dots.map(([x, y]) => svg("circle", { class: "elite", cx: X(x), cy: Y(y), r: 4 })));
}
