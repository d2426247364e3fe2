// Builds the page: a folder that holds all that it needs and works from any static server.
//
//   node build.mjs [folder]        by default hemidiaphragm_nb/static/page

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const LIBRARY = join(HERE, "..", "hemidiaphragm_nb");
const OUT = resolve(process.argv[2] ?? join(LIBRARY, "static", "page"));
const MOST_BYTES = 30e6;
const STALE = 3; // exit status of `tools/page_files.py`

const options = {
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  platform: "browser",
  outdir: OUT,
  legalComments: "none",
  loader: { ".wasm": "binary" },
  external: ["fs", "path", "crypto", "node:*", "module", "worker_threads"],
  define: { "import.meta.url": "self.location.href" },
  logLevel: "warning",
  metafile: true,
};

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
const { notice } = JSON.parse(readFileSync(join(HERE, "src", "facts.json"), "utf8"));
const page = readFileSync(join(HERE, "index.html"), "utf8").replace("$notice", () => notice);
writeFileSync(join(OUT, "index.html"), page);
cpSync(join(HERE, "examples"), join(OUT, "examples"), { recursive: true });
cpSync(join(HERE, "columns.txt"), join(OUT, "columns.txt"));
const styles = [join(LIBRARY, "static", "viewer.css"), join(HERE, "style.css")];
writeFileSync(join(OUT, "style.css"), styles.map((path) => readFileSync(path, "utf8")).join("\n"));
const optimised = writeNetwork(OUT);
const worker = await build({
  ...options,
  entryPoints: [join(HERE, "src", "worker.js")],
  define: { ...options.define, OPTIMISED: String(optimised) },
});
const runtime = "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm";
cpSync(join(HERE, "node_modules", runtime), join(OUT, "runtime.wasm"));
writeFileSync(join(OUT, "licences.txt"), licences(worker.metafile));

// the page states how much of the large files has come, in the order in which it takes them
const large = ["worker.js", "network.onnx", "runtime.wasm"];
const sizes = Object.fromEntries(large.map((file) => [file, statSync(join(OUT, file)).size]));
await build({
  ...options,
  entryPoints: [join(HERE, "src", "main.js")],
  define: {
    ...options.define,
    SIZES: JSON.stringify(sizes),
    FILES: JSON.stringify([...list(OUT), "main.js"]),
    EXAMPLES: JSON.stringify(readdirSync(join(OUT, "examples")).sort()),
  },
});

// the service worker knows each file's digest, and one of them all, so that a new build is fetched
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const files = Object.fromEntries(
  list(OUT).map((file) => [file, sha256(readFileSync(join(OUT, file)))]),
);
const version = sha256(JSON.stringify(files)).slice(0, 16);
await build({
  ...options,
  entryPoints: [join(HERE, "src", "sw.js")],
  define: { VERSION: JSON.stringify(version), FILES: JSON.stringify(files) },
});

const bytes = list(OUT).reduce((total, file) => total + statSync(join(OUT, file)).size, 0);
console.log(
  `${OUT}: ${list(OUT).length} files, ${(bytes / 1e6).toFixed(1)} MB, version ${version}`,
);
if (bytes > MOST_BYTES) throw new Error(`the page is larger than ${MOST_BYTES / 1e6} MB`);

// The network with its graph optimised beforehand: whether that could be done; and the example
// that pydicom-data has. Both need a Python with this library's requirements (PYTHON names it);
// without one, each start of the page optimises, in a second, and the examples are phantoms. With
// one, a page that would state other constants than the library is not built.
function writeNetwork(folder) {
  const python = process.env.PYTHON || "python3";
  const options = { cwd: join(HERE, ".."), stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" };
  const made = spawnSync(python, ["-m", "tools.page_files", folder], options);
  if (made.status === 0) return true;
  const why = made.error?.message ?? made.stderr.trim().split("\n").at(-1);
  if (made.status === STALE) {
    rmSync(OUT, { recursive: true, force: true }); // `make` would take a part for the page
    console.error(why);
    process.exit(1);
  }
  console.warn(`The network is not optimised beforehand, and the page starts slower (${why}).`);
  cpSync(join(LIBRARY, "weights", "default", "fast.onnx"), join(folder, "network.onnx"));
  return false;
}

// The files below a folder, by their names within it.
function list(folder, below = "") {
  return readdirSync(join(folder, below), { withFileTypes: true })
    .flatMap((entry) => {
      const name = below ? `${below}/${entry.name}` : entry.name;
      return entry.isDirectory() ? list(folder, name) : [name];
    })
    .sort();
}

// The licences of the packages that stand in the worker (the page's own script has none).
function licences({ outputs }) {
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  const used = inputs.filter(([, { bytesInOutput }]) => bytesInOutput).map(([path]) => path);
  const names = used.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  const lock = JSON.parse(readFileSync(join(HERE, "package-lock.json"), "utf8"));
  const packages = [...new Set(names.filter(Boolean))].sort().map((name) => {
    const folder = join(HERE, "node_modules", name);
    const facts = lock.packages[`node_modules/${name}`];
    const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text = file
      ? readFileSync(join(folder, file), "utf8").trim()
      : "see the end of this file";
    return `${name} ${facts.version} (${facts.license})\n\n${text}\n`;
  });
  const notices = readFileSync(join(HERE, "notices.txt"), "utf8");
  return [...packages, notices].join(`\n${"-".repeat(72)}\n\n`);
}
