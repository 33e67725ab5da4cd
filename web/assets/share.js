// A link to what is shown, and what of the page it leaves out: for a class, or a projector.

import { $ } from "./dom.js";
import { t } from "./i18n.js";
import { link, state } from "./state.js";
import { say } from "./app.js";

const boxes = () => [...document.querySelectorAll("input[name=hide]")];
const address = () => location.href.split("#")[0] + "#" +
  link({ hide: boxes().filter((b) => b.checked).map((b) => b.value).join(",") });

export function start() {
  $("share-open").addEventListener("click", () => {
    const hidden = state.hide.split(",");
    for (const b of boxes()) b.checked = hidden.includes(b.value);
    $("share-link").value = address();
    $("share").showModal();
  });
  for (const b of boxes()) b.addEventListener("change", () => { $("share-link").value = address(); });
  $("share-close").addEventListener("click", () => $("share").close());
  $("copy-link").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(address());
      $("share").close();
      say(t("copied"), "done");
    } catch { $("share-link").select(); } // no clipboard: the visitor copies what is selected
  });
}
