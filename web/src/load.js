// The large files, fetched with progress, and the worker that computes with them.

const PATIENCE = 4000; // ms that the service worker may take to come up

// Registers the service worker, which keeps every file for use offline, and waits until it does.
export async function keepOffline() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    if (navigator.serviceWorker.controller) return;
    await Promise.race([
      new Promise((done) => navigator.serviceWorker.addEventListener("controllerchange", done)),
      new Promise((done) => setTimeout(done, PATIENCE)),
    ]);
  } catch {
    // the page works all the same, but not offline
  }
}

// Whether every file of the page is saved here, and something answers with them.
export async function worksOffline() {
  if (!navigator.serviceWorker?.controller) return false;
  try {
    const saved = await Promise.all(FILES.map((file) => caches.match(file)));
    return saved.every(Boolean);
  } catch {
    return false;
  }
}

async function bytesOf(file, progress) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: ${response.status} ${response.statusText}`);
  const parts = [];
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts).arrayBuffer();
    parts.push(value);
    progress(value.length);
  }
}

// A worker with the network in it. Its script comes from a blob, so that the page's own content
// security policy holds in it, too: it can connect to nowhere else. `progress` gets fractions.
export async function startWorker(progress) {
  const sizes = SIZES;
  const total = Object.values(sizes).reduce((a, b) => a + b, 0);
  let loaded = 0;
  const count = (n) => progress(Math.min(1, (loaded += n) / total));
  const files = Object.keys(sizes).map((file) => bytesOf(file, count));
  const [script, model, wasm] = await Promise.all(files);
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const worker = new Worker(address);
  await new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message || "the worker does not start"));
    worker.onmessage = ({ data }) => {
      if (data.kind === "ready") resolve();
      else reject(new Error(data.message));
    };
    worker.postMessage({ kind: "load", model, wasm }, [model, wasm]);
  });
  return worker;
}
