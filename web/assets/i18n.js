// Words in the visitor's language. English is in the page already; another language is fetched.

let words = {}, english = {};

// use takes a language's words and puts them wherever the page asks for them.
export async function use(lang) {
  const load = async (l) => (await fetch(new URL(`./lang/${l}.json`, import.meta.url))).json();
  if (Object.keys(english).length === 0) english = await load("en");
  words = lang === "en" ? english : await load(lang);
  document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
  for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll("[data-label]")) e.setAttribute("aria-label", t(e.dataset.label));
}

// t is a text by its key, with {names} filled in.
export function t(key, values = {}) {
  const text = words[key] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, n) => values[n] ?? "");
}

// described says what a task is; of one without words there is only its name.
export function described(task) {
  const text = t("task." + task);
  return text === "task." + task ? task : text;
}

// preferred is the visitor's language, as far as there is one here.
export const preferred = () => (navigator.language.startsWith("zh") ? "zh" : "en");
