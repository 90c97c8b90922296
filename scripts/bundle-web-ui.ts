/** Bundles the web UI's page into files for the browser, from its sources in src/webui/page. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const page = join(import.meta.dirname, "../src/webui/page");

/** Bundles the page. @returns the contents of the page's files by their names */
export async function bundleWebUi(): Promise<Map<string, Uint8Array>> {
  const { outputFiles } = await build({
    absWorkingDir: page,
    entryPoints: { app: "main.ts", theme: "theme.ts", style: "style.css" },
    outdir: page,
    write: false,
    bundle: true,
    minify: true,
    format: "iife",
    platform: "browser",
    // These are the first browsers with light-dark() in CSS.
    target: ["chrome123", "firefox120", "safari17.5"],
    logLevel: "warning",
  });
  const files = new Map<string, Uint8Array>();
  for (const file of outputFiles) {
    files.set(file.path.slice(page.length + 1), file.contents);
  }
  for (const name of ["index.html", "icon.svg"]) {
    files.set(name, await readFile(join(page, name)));
  }
  return files;
}
