// Learn: lessons whose steps set the page's state, to be predicted first and run then.

import { $, h, renew } from "./dom.js";
import { preferred, t } from "./i18n.js";
import { defaults, set, state } from "./state.js";
import { say } from "./app.js";
import * as passes from "./passes.js";
import * as play from "./play.js";

let lessons = [], shownStep = "";
const predicted = new Map(Object.entries(remembered())); // "lesson.step" -> the option that was chosen

// remembered are the predictions of this tab's earlier pages; storage may be blocked.
function remembered() {
  try { return JSON.parse(sessionStorage.getItem("t2-predicted")) ?? {}; } catch { return {}; }
}

function remember(key, option) {
  predicted.set(key, option);
  try { sessionStorage.setItem("t2-predicted", JSON.stringify(Object.fromEntries(predicted))); } catch { /* this page remembers it */ }
}

export function start() {
  translated();
  addEventListener("keydown", (e) => {
    if (!state.lesson || e.target.closest("input, textarea, select, dialog, [role=slider]") || e.altKey || e.ctrlKey || e.metaKey) return;
    if (e.key === " " && !e.target.closest("button, a, summary")) { perform(); e.preventDefault(); }
    if (e.key === "ArrowRight") { step(1); e.preventDefault(); }
    if (e.key === "ArrowLeft") { step(-1); e.preventDefault(); }
  });
}

export async function translated() {
  const lang = state.lang || preferred();
  try {
    lessons = (await (await fetch(new URL(`./lessons/${lang}.json`, import.meta.url))).json()).lessons;
  } catch (e) { say(e.message); return; }
  paint();
}

export function changed(names) {
  if (names.has("lesson") || names.has("step") || names.has("view")) paint();
}

function step(by) {
  const lesson = lessons.find((l) => l.id === state.lesson);
  if (!lesson) return;
  go(lesson, Math.max(0, Math.min(lesson.steps.length - 1, +state.step + by)));
}

// go opens a step: what it does not set is as it always is.
function go(lesson, n) {
  const s = lesson.steps[n], fresh = {};
  for (const k of ["x", "c", "z", "k", "seed", "t", "topk", "topp", "minp"]) fresh[k] = defaults[k];
  set({ ...fresh, ...s.state, lesson: lesson.id, step: String(n), view: s.show });
}

// current is the step that is open.
function current() {
  const lesson = lessons.find((l) => l.id === state.lesson);
  return lesson && lesson.steps[Math.min(+state.step, lesson.steps.length - 1)];
}

// perform does what the step says, in the view that it shows.
function perform() {
  const s = current();
  if (s?.do !== "run") return;
  set({ view: s.show });
  (s.show === "passes" ? passes : play).run();
}

// print lays a whole lesson out as a worksheet, with room to write.
function print(lesson) {
  $("sheet").replaceChildren(h("h1", {}, lesson.title), h("p", { class: "note" }, location.href.split("#")[0] + "#lesson=" + lesson.id),
    ...lesson.steps.map((s, i) => h("section", {}, h("h2", {}, i + 1), ...markdown(s.text),
      s.predict ? [h("p", {}, h("strong", {}, s.predict.question)), h("ul", { class: "boxes" }, s.predict.options.map((o) => h("li", {}, o))),
        h("p", { class: "write" }, t("learn.saw"))] : null)));
  $("sheet").hidden = false;
  globalThis.print();
  $("sheet").hidden = true;
}

function paint() {
  const lesson = lessons.find((l) => l.id === state.lesson);
  renew($("lessons"), ...lessons.map((l, i) => h("li", {}, h("button", { type: "button", class: "card",
    "aria-pressed": l.id === state.lesson ? "true" : "false", onclick: () => go(l, 0) },
  h("small", {}, i + 1), h("strong", {}, l.title), h("small", {}, t("learn.about", { minutes: l.minutes, steps: l.steps.length }))))));
  const panel = $("lesson"), open = !!lesson && state.view !== "learn";
  const opened = open && panel.hidden, pressed = panel.contains(document.activeElement) && document.activeElement.dataset.does;
  panel.hidden = !open;
  document.body.classList.toggle("teaching", open);
  if (!open) { shownStep = ""; return; }
  const id = lesson.id + state.step + document.documentElement.lang;
  if (shownStep === id) return; // a prediction that was made stays
  shownStep = id;
  const n = Math.min(+state.step, lesson.steps.length - 1), s = lesson.steps[n];
  panel.replaceChildren(h("header", {}, h("strong", {}, lesson.title), h("span", {}, `${n + 1} / ${lesson.steps.length}`),
    h("button", { type: "button", class: "quiet", "aria-label": t("close"), onclick: () => set({ lesson: "", step: "0" }) }, "×")),
  ...markdown(s.text), s.predict ? predict(s, lesson.id + "." + n) : null,
  h("footer", {}, h("button", { type: "button", "data-does": "back", onclick: () => step(-1), disabled: n === 0 }, t("learn.back")),
    s.do === "run" ? h("button", { type: "button", "data-does": "run", class: "primary", onclick: perform }, t("learn.run")) : null,
    h("button", { type: "button", "data-does": "next", onclick: () => step(1), disabled: n === lesson.steps.length - 1 }, t("learn.next")),
    h("button", { type: "button", class: "tool", onclick: () => print(lesson) }, t("learn.print"))));
  if (opened) panel.focus({ preventScroll: true });
  else if (pressed) (panel.querySelector(`[data-does="${pressed}"]:not(:disabled)`) ?? panel).focus({ preventScroll: true });
}

function predict(s, key) {
  const verdict = h("p", { class: "verdict", role: "status" });
  const judge = (i) => { verdict.textContent = i === s.predict.answer ? t("learn.right") : t("learn.wrong", { answer: s.predict.options[s.predict.answer] }); };
  if (predicted.has(key)) judge(predicted.get(key));
  return h("fieldset", { class: "predict" }, h("legend", {}, s.predict.question),
    s.predict.options.map((o, i) => h("label", {}, h("input", { type: "radio", name: "predict", checked: predicted.get(key) === i,
      onchange: () => { remember(key, i); judge(i); } }), h("span", {}, o))), verdict);
}

// markdown makes nodes of paragraphs, lists, **bold**, *em*, `code` and links to https.
function markdown(text) {
  return text.split(/\n\n+/).map((block) => {
    const lines = block.split("\n");
    if (lines.every((l) => l.startsWith("- "))) return h("ul", {}, lines.map((l) => h("li", {}, inline(l.slice(2)))));
    return h("p", {}, inline(block));
  });
}

function inline(text) {
  const out = [], re = /\*\*(.+?)\*\*|\*(.+?)\*|`(.+?)`|\[(.+?)\]\((https:\/\/[^)\s]+)\)/g;
  let at = 0;
  for (const m of text.matchAll(re)) {
    out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[1]) out.push(h("strong", {}, inline(m[1])));
    else if (m[2]) out.push(h("em", {}, inline(m[2])));
    else if (m[3]) out.push(h("code", {}, m[3]));
    else out.push(h("a", { href: m[5], rel: "noreferrer" }, m[4]));
  }
  out.push(text.slice(at));
  return out;
}
