/** Quantised weights on disk: made once, the same from there, never trusted when damaged. */
import { mkdtempSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { chmod, cp, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openModel } from "../src/models/open-model.ts";
import {
  keepWithin,
  listCacheFiles,
  quantizedCacheDirectory,
  removeCacheFiles,
} from "../src/runtime/platform/quantized-cache.ts";
import { WasmBackend } from "../src/runtime/wasm/backend.ts";
import { modelPath, passOf } from "./support/golden.ts";

let folder: string;
let before: string | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "model-compose-quantized-"));
  before = process.env["MODEL_COMPOSE_CACHE_DIR"];
  process.env["MODEL_COMPOSE_CACHE_DIR"] = path.join(folder, "cache");
});

afterEach(async () => {
  process.env["MODEL_COMPOSE_CACHE_DIR"] = before;
  if (before === undefined) {
    delete process.env["MODEL_COMPOSE_CACHE_DIR"];
  }
  await rm(folder, { recursive: true, force: true });
});

interface Loaded {
  logits: Float32Array;
  notices: string[];
  /** Bytes that were said to be loaded. */
  total: number;
}

async function load(
  directory: string,
  quantization: "int8" | "int4",
  { threads = 2, cached = true, signal }: { threads?: number; cached?: boolean; signal?: AbortSignal } = {},
): Promise<Loaded> {
  const { program, checkpoint } = await openModel(directory);
  const preparation = await new WasmBackend({ threads }).prepare(program, checkpoint, {
    contextLength: 64,
    slots: 1,
    quantization,
    quantizedCache: cached ? "some/model" : undefined,
  });
  const notices: string[] = [];
  let total = 0;
  const executable = await preparation.load({
    onNotice: (line) => notices.push(line),
    onWeights: (_, all) => (total = all),
    signal,
  });
  try {
    const { logits } = await executable.run({ ...passOf([1, 2, 3]), logitRows: Int32Array.of(2) });
    return { logits, notices, total };
  } finally {
    await executable.dispose();
  }
}

const files = (): string[] => readdirSync(quantizedCacheDirectory()).sort();
const theFile = (): string => path.join(quantizedCacheDirectory(), files()[0]);

describe.each(["smollm3-bf16", "gpt2"])("%s", (name) => {
  const directory = modelPath(name);

  test.each(["int8", "int4"] as const)(
    "%s: kept once, and the same for any number of threads",
    async (kind) => {
      const { logits } = await load(directory, kind, { cached: false });
      const first = await load(directory, kind, { threads: 2 });
      expect(first).toMatchObject({ logits, notices: [] });
      expect(files()).toHaveLength(1);
      for (const threads of [1, 2, 3]) {
        const { mtimeMs, ino } = statSync(theFile());
        utimesSync(theFile(), 1, 1);
        const again = await load(directory, kind, { threads });
        expect(again).toMatchObject({ logits, notices: [] });
        // It was read and not made anew: less is loaded, the file is the same one, and it counts as used.
        expect(again.total).toBeLessThan(first.total);
        expect(statSync(theFile()).ino).toBe(ino);
        expect(statSync(theFile()).mtimeMs).toBeGreaterThanOrEqual(mtimeMs);
      }
      expect(files()).toHaveLength(1);
    },
  );

  test("a damaged byte is found wherever it is", async () => {
    const { logits } = await load(directory, "int4");
    const whole = readFileSync(theFile());
    const data = 4096 * Math.ceil((36 + whole.readUInt32LE(32)) / 4096);
    for (const at of [data, data + 577, Math.floor((data + whole.length) / 2), whole.length - 1]) {
      const damaged = Buffer.from(whole);
      damaged[at] ^= 1;
      writeFileSync(theFile(), damaged);
      const { notices, ...again } = await load(directory, "int4");
      expect(notices, `byte ${at} of ${whole.length}`).toEqual([
        expect.stringContaining("are damaged or gone; they are made anew"),
      ]);
      expect(again.logits).toEqual(logits);
      expect(readFileSync(theFile()).equals(whole)).toBe(true);
    }
  });
});

const directory = modelPath("smollm3-bf16");

test("what is cut, empty or something else is made anew", async () => {
  const { logits } = await load(directory, "int8");
  const whole = readFileSync(theFile());
  for (const text of [whole.subarray(0, whole.length - 1), Buffer.alloc(0), Buffer.from("not ours")]) {
    await writeFile(theFile(), text);
    expect(await load(directory, "int8")).toMatchObject({ logits, notices: [] });
    expect(readFileSync(theFile()).equals(whole)).toBe(true);
  }
});

test("a changed checkpoint has a file of its own", async () => {
  const copy = path.join(folder, "model");
  await cp(directory, copy, { recursive: true });
  await load(copy, "int8");
  const weights = path.join(copy, "model.safetensors");
  const { atimeMs, mtimeMs } = statSync(weights);
  utimesSync(weights, atimeMs / 1000, mtimeMs / 1000 + 5);
  await load(copy, "int8");
  await load(copy, "int4");
  expect(files()).toHaveLength(3);
});

test("an aborted load leaves nothing", async () => {
  await mkdir(quantizedCacheDirectory(), { recursive: true });
  await expect(load(directory, "int4", { signal: AbortSignal.abort() })).rejects.toThrow();
  const stop = new AbortController();
  const loading = load(directory, "int4", { signal: stop.signal });
  setImmediate(() => {
    stop.abort();
  });
  await loading.catch(() => undefined);
  expect(files().filter((name) => name.endsWith(".part"))).toEqual([]);
});

test.skipIf(process.getuid?.() === 0 || process.platform === "win32")(
  "a folder that cannot be written is told, and the model runs",
  async () => {
    await mkdir(quantizedCacheDirectory(), { recursive: true });
    await chmod(quantizedCacheDirectory(), 0o500);
    const { notices } = await load(directory, "int8");
    expect(notices).toEqual([
      expect.stringMatching(/are not kept for the next time: ".*" cannot be written/),
    ]);
  },
);

test("a file where the folder should be is told, and the model runs", async () => {
  await writeFile(path.join(folder, "cache"), "");
  const { notices, logits } = await load(directory, "int8");
  expect(notices).toEqual([expect.stringMatching(/are not kept for the next time: ".*" cannot be written/)]);
  expect(logits).toEqual((await load(directory, "int8", { cached: false })).logits);
});

test("files are listed, bounded and removed", async () => {
  await load(directory, "int8");
  utimesSync(theFile(), 1, 1);
  await load(directory, "int4");
  const [newer, older] = await listCacheFiles();
  expect(newer).toMatchObject({ label: "some/model", quantization: "int4" });
  expect(older).toMatchObject({ quantization: "int8", bytes: statSync(older.path).size });

  await keepWithin(newer.bytes + older.bytes);
  expect(files()).toHaveLength(2);
  await keepWithin(newer.bytes + older.bytes - 1);
  expect(await listCacheFiles()).toEqual([newer]);
  await keepWithin(1);
  expect(files()).toHaveLength(1);
  await removeCacheFiles([newer]);
  expect(files()).toEqual([]);
});

test("parts that a process left are removed, those that are being made are not", async () => {
  await mkdir(quantizedCacheDirectory(), { recursive: true });
  const [old, recent] = ["old.part", "recent.part"].map((name) => path.join(quantizedCacheDirectory(), name));
  await writeFile(old, "x");
  await writeFile(recent, "x");
  await truncate(recent, 10);
  utimesSync(old, 1, 1);
  await load(directory, "int8");
  expect(files().filter((name) => name.endsWith(".part"))).toEqual(["recent.part"]);
});
