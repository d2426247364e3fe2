// Keeps every file of the page, so that it works offline after the first visit, and after each
// later one, too, when a new build has come. It asks no other server than the page's own.

const PREFIX = "hemidiaphragm-page-";
const CACHE = PREFIX + VERSION;
const LARGE = ["network.onnx", "runtime.wasm", "worker.js"]; // the page fetches them at first
const ADDRESSES = Object.keys(FILES).map((file) => new URL(file, self.registration.scope).href);

async function olderCaches() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  return Promise.all(names.map((name) => caches.open(name)));
}

// A file as an older build left it, where this build has the same.
async function unchanged(file, older) {
  for (const cache of older) {
    const saved = await cache.match(file);
    if (!saved) continue;
    const digest = await crypto.subtle.digest("SHA-256", await saved.clone().arrayBuffer());
    const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0"));
    if (hex.join("") === FILES[file]) return saved;
  }
  return null;
}

// The page of an older build has loaded its large files before: none would ask for them again until
// this one is open, and it may be opened offline.
async function save() {
  const [cache, older, missing] = [await caches.open(CACHE), await olderCaches(), []];
  for (const file of Object.keys(FILES)) {
    const saved = await unchanged(file, older);
    if (saved) await cache.put(file, saved);
    else if (older.length || !LARGE.includes(file)) missing.push(file);
  }
  await cache.addAll(missing.map((file) => new Request(file, { cache: "reload" })));
}

self.addEventListener("install", (event) => {
  event.waitUntil(save());
  self.skipWaiting();
});

async function forgetOthers() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX));
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));

async function answer(address, request) {
  const cache = await caches.open(CACHE);
  const saved = await cache.match(address);
  if (saved) return saved;
  const response = await fetch(request);
  // where there is no room to save it, the page works all the same, but not offline
  if (response.ok) await cache.put(address, response.clone()).catch(() => {});
  return response;
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  if (url.href === self.registration.scope) url.pathname += "index.html";
  if (event.request.method !== "GET" || !ADDRESSES.includes(url.href)) return;
  event.respondWith(answer(url.href, event.request));
});
