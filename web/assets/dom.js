// Making nodes. Text goes in as text, never as HTML; styles go in as custom properties, which the
// page's Content-Security-Policy allows where inline style attributes are not.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// h makes an HTML element: h("p", {class: "note"}, "text", child).
export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

// svg makes an SVG element.
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

// $ finds the one element of an id.
export const $ = (id) => document.getElementById(id);

// later runs f once before the next frame, however often it is asked for until then.
export function later(f) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; f(); });
  };
}

const focusable = "button, input, a";

// renew replaces what is in a box; the focus stays at the place where it was.
export function renew(box, ...nodes) {
  const at = [...box.querySelectorAll(focusable)].indexOf(document.activeElement);
  box.replaceChildren(...nodes);
  if (at >= 0) box.querySelectorAll(focusable)[at]?.focus({ preventScroll: true });
}

// within has f show and hide buttons of a row. If it hides the one with the focus, that goes to the
// first that is there.
export function within(row, f) {
  const had = row.contains(document.activeElement) ? document.activeElement : null;
  f();
  if (had?.hidden) row.querySelector("button:not([hidden], :disabled)")?.focus();
}

// percent writes a probability: 0.1234 is "12%", 0.00012 is "0.01%".
export function percent(p) {
  const x = 100 * p;
  return (x >= 10 || x === 0 ? x.toFixed(0) : x >= 1 ? x.toFixed(1) : x >= 0.01 ? x.toFixed(2) : "<0.01") + "%";
}

// shown makes blanks of a token visible.
export const shown = (text) => text.replace(/ /g, "·").replace(/\n/g, "⏎") || "∅";

// save hands a file to the visitor.
export function save(name, blob) {
  const a = h("a", { href: URL.createObjectURL(blob), download: name });
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
