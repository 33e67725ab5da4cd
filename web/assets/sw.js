// Keeps the page for offline use. The engine and the models are kept by the worker that fetches
// them; this script keeps everything else, one version at a time.
"use strict";

const CACHE = "t2-page-__VERSION__";
const FILES = "__FILES__";

addEventListener("install", (e) => {
  e.waitUntil(caches.open(CACHE).then((c) => c.addAll(FILES)).then(() => skipWaiting()));
});

addEventListener("activate", (e) => {
  e.waitUntil(caches.keys().then((names) => Promise.all(names
    .filter((n) => n.startsWith("t2-page-") && n !== CACHE).map((n) => caches.delete(n)))).then(() => clients.claim()));
});

// What is named by its bytes comes from the cache; the page itself from the network while there is
// one, so that a new version is seen.
addEventListener("fetch", (e) => {
  if (e.request.method !== "GET" || new URL(e.request.url).origin !== location.origin) return;
  const fixed = /\/(assets|files)\//.test(new URL(e.request.url).pathname);
  e.respondWith(fixed ? fromCache(e.request) : fromNetwork(e.request));
});

async function fromCache(request) {
  return (await caches.match(request)) ?? fetch(request);
}

async function fromNetwork(request) {
  try {
    return await fetch(request);
  } catch (e) {
    const kept = await caches.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw e;
  }
}
