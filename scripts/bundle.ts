/** Bundles the library, the CLI, the workers, the benchmarks and the web UI's page into dist/. */
import { chmod, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { BUNDLE_ENTRIES } from "./bundle-entries.ts";
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
    entryPoints: BUNDLE_ENTRIES,
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
