// A triangle of three experts: where shares are shown, and where they are set.

import { h, svg } from "./dom.js";

const corners = [[60, 10], [16, 86], [104, 86]];

// at gives the point of three shares; only their ratio counts.
export function at(alpha) {
  const sum = alpha.reduce((a, b) => a + b, 0);
  const share = sum > 0 ? alpha.map((a) => a / sum) : alpha.map(() => 1 / 3);
  return [0, 1].map((k) => share.reduce((a, v, i) => a + v * corners[i][k], 0));
}

// sharesAt is its inverse, cut off at the edges; they sum to one.
function sharesAt(x, y) {
  const [[ax, ay], [bx, by], [cx, cy]] = corners;
  const d = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
  const a = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / d;
  const b = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / d;
  const cut = [a, b, 1 - a - b].map((v) => Math.max(0, v)), sum = cut.reduce((p, q) => p + q, 0);
  return cut.map((v) => v / sum);
}

// frame draws the triangle with its names, and parts in it.
export function frame(names, label, ...parts) {
  return svg("svg", { viewBox: "0 -4 120 102", class: "triangle", role: "group", "aria-label": label },
    svg("polygon", { points: corners.map((c) => c.join(",")).join(" ") }),
    names.map((n, i) => svg("text", { x: corners[i][0], y: corners[i][1] + (i ? 9 : -6), "text-anchor": "middle" }, n)), parts);
}

// pad is a triangle whose point can be dragged, or moved with the arrow keys. moved is called with
// the shares while it moves, and with true when it has come to rest.
export function pad(names, alpha, label, moved) {
  let now = [...alpha];
  const words = () => names.map((n, i) => `${n} ${now[i].toFixed(2)}`).join(", ");
  const knob = svg("circle", { class: "knob", r: 4, tabindex: 0, role: "slider", "aria-label": label,
    "aria-valuemin": 0, "aria-valuemax": 100 });
  const place = () => {
    const [x, y] = at(now);
    knob.setAttribute("cx", x);
    knob.setAttribute("cy", y);
    knob.setAttribute("aria-valuenow", Math.round(100 * now[0]));
    knob.setAttribute("aria-valuetext", words());
  };
  const to = (x, y, rest) => { now = sharesAt(x, y); place(); moved(now, rest); };
  const root = frame(names, label, knob);
  knob.addEventListener("keydown", (e) => {
    const step = { ArrowUp: [0, -4], ArrowDown: [0, 4], ArrowLeft: [-4, 0], ArrowRight: [4, 0] }[e.key];
    if (!step) return;
    e.preventDefault();
    e.stopPropagation();
    const [x, y] = at(now);
    to(x + step[0], y + step[1], true);
  });
  root.addEventListener("pointerdown", (e) => {
    const point = (ev) => { const m = root.getScreenCTM().inverse(); const p = new DOMPoint(ev.clientX, ev.clientY).matrixTransform(m); return [p.x, p.y]; };
    const move = (ev) => to(...point(ev), false);
    root.setPointerCapture(e.pointerId);
    move(e);
    root.addEventListener("pointermove", move);
    root.addEventListener("pointerup", (ev) => { root.removeEventListener("pointermove", move); to(...point(ev), true); }, { once: true });
  });
  place();
  return h("div", { class: "pad" }, root);
}
