import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** The path of a committed golden model. */
export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url));
}

/** A new directory that is removed when the test ends. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "model-compose-"));
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

/** Writes a file into a new directory that is removed when the test ends; the file's path. */
export function temporaryFile(name: string, content: Uint8Array | string): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, content);
  return path;
}

/** The bytes of a safetensors file: length, header as given (text or JSON), data. */
export function safetensorsBytes(header: string | object, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}
