/** Bundles the web UI's page into files for the browser, from its sources in src/webui/page. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build, type BuildOptions } from "esbuild";

const page = join(import.meta.dirname, "../src/webui/page");

/** Bundles the page. @returns the contents of the page's files by their names */
export async function bundleWebUi(): Promise<Map<string, Uint8Array>> {
  // What is not needed for the first paint is a file of its own, which app.js asks for.
  const modules = await bundleFor({ entryPoints: { app: "main.ts" }, format: "esm", splitting: true });
  // This one runs before the page is seen, so it is no module.
  const others = await bundleFor({ entryPoints: { theme: "theme.ts", style: "style.css" }, format: "iife" });
  const files = new Map([...modules, ...others]);
  for (const name of ["index.html", "icon.svg"]) {
    files.set(name, await readFile(join(page, name)));
  }
  return files;
}

async function bundleFor(
  options: Pick<BuildOptions, "entryPoints" | "format" | "splitting">,
): Promise<[string, Uint8Array][]> {
  const { outputFiles } = await build({
    ...options,
    absWorkingDir: page,
    outdir: page,
    chunkNames: "[name]",
    write: false,
    bundle: true,
    minify: true,
    platform: "browser",
    // These are the first browsers with light-dark() in CSS.
    target: ["chrome123", "firefox120", "safari17.5"],
    logLevel: "warning",
  });
  return outputFiles.map((file) => [file.path.slice(page.length + 1), file.contents]);
}
