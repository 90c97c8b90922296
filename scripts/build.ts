/** Bundles the library, the CLI, the workers, the benchmarks and the web UI's page into dist/, with type declarations. */
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { bundleWebUi } from "./bundle-web-ui.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

await rm(dist, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: {
    index: "src/index.ts",
    cli: "src/cli/entry.ts",
    "wasm-worker": "src/runtime/wasm/worker.ts",
    "tokenizer-worker": "src/models/tokenizer/tokenizer-worker.ts",
    bench: "bench/bench.ts",
    "bench-read-worker": "bench/harness/read-worker.ts",
    "bench-busy-process": "bench/harness/busy-process.ts",
    "bench-checkpoint": "bench/make-checkpoint.ts",
    "bench-app": "bench/app/bench-app.ts",
    "bench-queue-process": "bench/app/queue-process.ts",
  },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node22.12",
  packages: "external",
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
});

const webUi = join(dist, "webui");
await mkdir(webUi);
for (const [name, contents] of await bundleWebUi()) {
  await writeFile(join(webUi, name), contents);
}

const tsc = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");
await promisify(execFile)(process.execPath, [tsc, "-p", "tsconfig.types.json"], { cwd: root }).catch(
  (error: unknown) => {
    const output = (error as { stdout?: string }).stdout ?? "";
    throw new Error(`The type declarations cannot be made.\n${output}`, { cause: error });
  },
);
