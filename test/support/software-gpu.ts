/**
 * Gives tests a GPU where there is none: SwiftShader, a Vulkan driver in software, from the npm package that carries it
 * for headless Chromium. Runs once before all tests; their processes inherit the environment, which Dawn's Vulkan
 * loader reads. MODEL_COMPOSE_TEST_ADAPTER names another adapter to test on.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const FILES = ["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];

export default function setup(): void {
  if (process.env.MODEL_COMPOSE_TEST_ADAPTER !== undefined) {
    return;
  }
  if (process.platform !== "linux" || process.arch !== "x64") {
    return;
  }
  const directory = unpack();
  process.env.VK_ICD_FILENAMES = join(directory, "vk_swiftshader_icd.json");
  // What GPUs these processes find is not what others of this user find.
  process.env.MODEL_COMPOSE_CACHE_DIR = join(directory, "cache");
  process.env.LD_LIBRARY_PATH = [directory, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
}

/** Unpacks the driver. @returns its folder, which is kept between runs under the archive's hash */
function unpack(): string {
  const main = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const root = main.slice(0, main.lastIndexOf("chromium") + "chromium".length);
  const archive = readFileSync(join(root, "bin/swiftshader.tar.br"));
  const hash = createHash("sha256").update(archive).digest("hex").slice(0, 16);
  const directory = join(tmpdir(), `model-compose-swiftshader-${hash}`);
  if (existsSync(directory)) {
    return directory;
  }
  mkdirSync(dirname(directory), { recursive: true });
  const fresh = mkdtempSync(`${directory}-`);
  const members = readTar(brotliDecompressSync(archive));
  for (const name of FILES) {
    const content = members.get(name);
    if (content === undefined) {
      throw new Error(`@sparticuz/chromium carries no ${name}; expected ${FILES.join(", ")}.`);
    }
    writeFileSync(join(fresh, name), content);
  }
  try {
    renameSync(fresh, directory);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(directory)) {
      throw error;
    } // Otherwise another run was faster.
  }
  return directory;
}

/** The regular files of a tar archive (POSIX ustar: a header block of 512 bytes, then the content in such blocks). */
function readTar(bytes: Uint8Array): Map<string, Uint8Array> {
  const members = new Map<string, Uint8Array>();
  const text = (start: number, length: number): string =>
    Buffer.from(bytes.subarray(start, start + length))
      .toString("latin1")
      .replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const size = parseInt(text(at + 124, 12), 8);
    if (["0", ""].includes(text(at + 156, 1))) {
      members.set(text(at, 100).replace(/^\.\//, ""), bytes.subarray(at + 512, at + 512 + size));
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return members;
}
