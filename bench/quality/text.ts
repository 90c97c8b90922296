/** The text that models read: a book in the public domain, out of a Debian package, fetched once. */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { errorMessage, ModelComposeError } from "../../src/base/errors.ts";
import { readCached, writeCached } from "../../src/runtime/platform/cache-directory.ts";

/** The source package whose test data have Lewis Carroll's "Alice's Adventures in Wonderland" (1865). */
const PACKAGE = {
  name: "snappy",
  version: "1.1.9",
  url: "https://deb.debian.org/debian/pool/main/s/snappy/snappy_1.1.9.orig.tar.gz",
  sha256: "75c1fbb3d618dd3a0483bff0e26d0a92b495bbe5059c8b4f1c962b478b6e06e7",
} as const;

const BOOK = {
  member: "snappy-1.1.9/testdata/alice29.txt",
  sha256: "7467306ee0feed4971260f3c87421154a05be571d944e9cb021a5713700c38f0",
  /** Of the text with each paragraph in one line. */
  unwrapped: "d900ab896c99aee07d7e0ce0c18aedf1f209db0dd80b4197b7b8813cacf1d6de",
  cached: "bench-quality-alice29.txt",
} as const;

/** The book. @throws ModelComposeError "download" where it is not in the cache and cannot be fetched, or is another */
export async function fetchedText(onFetch: (url: string) => void): Promise<string> {
  const cached = await readCached(BOOK.cached);
  if (cached !== undefined && sha256(cached) === BOOK.unwrapped) {
    return cached;
  }
  onFetch(PACKAGE.url);
  const archive = await download(PACKAGE.url);
  requireHash(
    archive,
    PACKAGE.sha256,
    `The archive of the Debian package ${PACKAGE.name} ${PACKAGE.version}`,
  );
  const book = tarMember(gunzipSync(archive), BOOK.member);
  requireHash(book, BOOK.sha256, BOOK.member);
  const text = unwrapped(book.toString("utf8"));
  await writeCached(BOOK.cached, text);
  return text;
}

async function download(url: string): Promise<Buffer> {
  try {
    const response = await fetch(url);
    if (response.ok) {
      return Buffer.from(await response.arrayBuffer());
    }
    throw new Error(`status ${response.status}`);
  } catch (error) {
    throw new ModelComposeError("download", `${url} cannot be fetched: ${errorMessage(error)}.`, {
      remedy: "Give a text of your own: --text FILE.",
      cause: error,
    });
  }
}

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

function requireHash(content: Uint8Array, expected: string, what: string): void {
  const found = sha256(content);
  if (found !== expected) {
    throw new ModelComposeError("download", `${what} has the SHA-256 ${found}; expected ${expected}.`, {
      remedy: "Try again, or give a text of your own: --text FILE.",
    });
  }
}

/** The text with each paragraph in one line, as models are trained on. */
function unwrapped(text: string): string {
  const paragraphs = text.split(/\n\s*\n/).map((lines) => lines.replace(/\s+/g, " ").trim());
  return paragraphs.filter((paragraph) => paragraph !== "").join("\n\n");
}

const BLOCK = 512;

/** A file of a tar archive: blocks of 512 bytes, a header (name at 0, octal size at 124) before each file's. */
export function tarMember(archive: Buffer, name: string): Buffer {
  for (let at = 0; at + BLOCK <= archive.length;) {
    const size = parseInt(archive.toString("latin1", at + 124, at + 136), 8) || 0;
    const found = archive.toString("utf8", at, at + 100).replace(/\0.*$/s, "");
    if (found === name) {
      return archive.subarray(at + BLOCK, at + BLOCK + size);
    }
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  throw new ModelComposeError("download", `There is no ${name} in the archive.`);
}
