/** Bundles the library, the CLI, the workers, the benchmarks and the web UI's page into dist/. */
import { chmod, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { bundleWebUi } from "./bundle-web-ui.ts";

const root = join(import.meta.dirname, "..");

/** Type declarations that are in dist/ already stay. */
export async function bundle(): Promise<void> {
  const dist = join(root, "dist");
  await mkdir(dist, { recursive: true });
  for (const name of await readdir(dist)) {
    if (name !== "types") {
      await rm(join(dist, name), { recursive: true });
    }
  }
  await build({
    absWorkingDir: root,
    entryPoints: {
      index: "src/index.ts",
      ai: "src/ai/index.ts",
      cli: "src/cli/entry.ts",
      install: "src/cli/install.ts",
      "wasm-worker": "src/runtime/wasm/worker.ts",
      "quantize-worker": "src/runtime/webgpu/run/quantize-worker.ts",
      "gpu-probe": "src/runtime/webgpu/run/probe-process.ts",
      "grammar-worker": "src/runtime/grammar/grammar-worker.ts",
      "tokenizer-worker": "src/models/tokenizer/tokenizer-worker.ts",
      bench: "bench/bench.ts",
      "bench-read-worker": "bench/harness/read-worker.ts",
      "bench-busy-process": "bench/harness/busy-process.ts",
      "bench-checkpoint": "bench/make-checkpoint.ts",
      "bench-quality": "bench/quality/quality.ts",
      "bench-weights": "bench/quality/make-weights.ts",
      "bench-app": "bench/app/bench-app.ts",
      "bench-serve": "bench/serve/bench-serve.ts",
      "bench-sweep": "bench/sweep/sweep.ts",
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

  await chmod(join(dist, "cli.js"), 0o755);

  const webUi = join(dist, "webui");
  await mkdir(webUi);
  for (const [name, contents] of await bundleWebUi()) {
    await writeFile(join(webUi, name), contents);
  }
}
