// Keeps every file of the page, so that it works offline after the first visit. It asks no other
// server than the page's own.

const CACHE = `hemidiaphragm-page-${VERSION}`;
const LARGE = ["network.onnx", "runtime.wasm", "worker.js"]; // saved when the page fetches them
const ADDRESSES = FILES.map((file) => new URL(file, self.registration.scope).href);

self.addEventListener("install", (event) => {
  const small = FILES.filter((file) => !LARGE.includes(file));
  const requests = small.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
  self.skipWaiting();
});

async function forgetOthers() {
  const names = (await caches.keys()).filter((name) => name.startsWith("hemidiaphragm-page-"));
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));

async function answer(address, request) {
  const cache = await caches.open(CACHE);
  const saved = await cache.match(address);
  if (saved) return saved;
  const response = await fetch(request);
  if (response.ok) await cache.put(address, response.clone());
  return response;
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  if (url.href === self.registration.scope) url.pathname += "index.html";
  if (event.request.method !== "GET" || !ADDRESSES.includes(url.href)) return;
  event.respondWith(answer(url.href, event.request));
});
