/** The files of the page, ready to be sent. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { ModelComposeError } from "../base/errors.ts";

/** One file as it is sent. */
export interface PageFile {
  readonly contentType: string;
  readonly bytes: Uint8Array;
  readonly gzipped: Uint8Array;
  readonly etag: string;
}

const CONTENT_TYPES: ReadonlyMap<string, string> = new Map([
  ["html", "text/html; charset=utf-8"],
  ["css", "text/css; charset=utf-8"],
  ["js", "text/javascript; charset=utf-8"],
  ["svg", "image/svg+xml"],
]);

let loading: Promise<ReadonlyMap<string, PageFile>> | undefined;

/** The files of the page, which are read once. @returns them by their names, without a folder */
export async function loadPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  try {
    return await (loading ??= readPageFiles());
  } catch (error) {
    // The next who asks tries again.
    loading = undefined;
    throw error;
  }
}

async function readPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  const contents = import.meta.url.endsWith(".ts") ? await bundleSources() : await readBundle();
  return new Map([...contents].map(([name, bytes]) => [name, pageFile(name, bytes)]));
}

interface Bundler {
  readonly bundleWebUi: () => Promise<ReadonlyMap<string, Uint8Array>>;
}

/**
 * Bundles the page anew: where the program runs from its sources, the built page is missing, or is that of yesterday.
 */
async function bundleSources(): Promise<ReadonlyMap<string, Uint8Array>> {
  // A computed name, so that the bundler of the program leaves the bundler of the page out.
  const script = new URL("../../scripts/bundle-web-ui.ts", import.meta.url).href;
  const { bundleWebUi } = (await import(script)) as Bundler;
  return bundleWebUi();
}

/** Reads the bundled page: dist/webui/ lies beside the bundled program. */
async function readBundle(): Promise<ReadonlyMap<string, Uint8Array>> {
  const folder = new URL("./webui/", import.meta.url);
  try {
    const names = await readdir(folder);
    return new Map(
      await Promise.all(
        names.map(async (name): Promise<[string, Uint8Array]> => [
          name,
          await readFile(new URL(name, folder)),
        ]),
      ),
    );
  } catch (error) {
    throw new ModelComposeError("not-found", "The files of the web UI are not beside the program.", {
      cause: error,
      remedy: "Install model-compose again (from its sources: npm run build).",
    });
  }
}

function pageFile(name: string, bytes: Uint8Array): PageFile {
  const contentType = CONTENT_TYPES.get(name.slice(name.lastIndexOf(".") + 1));
  if (contentType === undefined) {
    throw new Error(`The web UI has a file of unknown type: ${name}`);
  }
  const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
  return { contentType, bytes, gzipped: gzipSync(bytes), etag };
}
