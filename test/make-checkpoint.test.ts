import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WEIGHT_DTYPES, type WeightDtype } from "../bench/checkpoint/random-weights.ts";
import { CHECKPOINT_SHAPES, checkpointOfShape, checkpointTensors } from "../bench/checkpoint/shapes.ts";
import { writeCheckpoint } from "../bench/checkpoint/write-checkpoint.ts";
import { loadModel } from "../src/models/model.ts";
import { openCheckpoint } from "../src/runtime/checkpoint/checkpoint.ts";
import { goldenPath } from "./support/model-files.ts";

const SCRIPT = join(import.meta.dirname, "../bench/make-checkpoint.ts");
const tiny = CHECKPOINT_SHAPES["smollm3-tiny"];

interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

interface Index {
  metadata: { total_parameters: number; total_size: number };
  weight_map: Record<string, string>;
}

/** Reads a shard by code of its own, so that a mistake of the writer is not mirrored here. */
async function readShard(path: string): Promise<{ tensors: Map<string, HeaderEntry>; data: Buffer }> {
  const file = await readFile(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)) as Record<string, HeaderEntry>;
  const data = file.subarray(8 + headerBytes);
  expect(headerBytes % 8).toBe(0);
  const tensors = new Map(Object.entries(header).filter(([name]) => name !== "__metadata__"));
  return { tensors, data };
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, "utf8")) as unknown;
}

function widen(bits: number, dtype: string): number {
  if (dtype === "BF16") {
    return Buffer.from(Uint32Array.of(bits << 16).buffer).readFloatLE(0);
  }
  const exponent = (bits >>> 10) & 0x1f;
  const magnitude =
    exponent === 0 ? (bits & 0x3ff) * 2 ** -24 : (1 + (bits & 0x3ff) / 1024) * 2 ** (exponent - 15);
  return bits >>> 15 === 1 ? -magnitude : magnitude;
}

function valuesOf(entry: HeaderEntry, data: Buffer): number[] {
  const [begin, end] = entry.data_offsets;
  const size = entry.dtype === "F32" ? 4 : 2;
  return Array.from({ length: (end - begin) / size }, (_, i) =>
    size === 4 ? data.readFloatLE(begin + 4 * i) : widen(data.readUInt16LE(begin + 2 * i), entry.dtype),
  );
}

function meanAndStd(values: readonly number[]): [number, number] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return [mean, Math.sqrt(variance)];
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "model-compose-checkpoint-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(Object.keys(WEIGHT_DTYPES) as WeightDtype[])("the tiny shape in %s", (dtype) => {
  test("has every tensor of SmolLM3 once, contiguous, with plausible values", async () => {
    const directory = join(folder, dtype);
    const totalBytes = await writeCheckpoint(directory, checkpointOfShape(tiny), {
      dtype,
      seed: 1,
      maxShardBytes: 1_000_000,
    });

    const index = (await readJson(join(directory, "model.safetensors.index.json"))) as Index;
    const shards = [...new Set(Object.values(index.weight_map))];
    expect(shards.length).toBeGreaterThan(3);
    expect((await readdir(directory)).sort()).toEqual(
      [...shards, "config.json", "generation_config.json", "model.safetensors.index.json"].sort(),
    );

    const expected = new Map(checkpointTensors(tiny).map((tensor) => [tensor.name, tensor]));
    let bytesFound = 0;
    for (const shard of shards) {
      const { tensors, data } = await readShard(join(directory, shard));
      let offset = 0;
      for (const [name, entry] of tensors) {
        expect(index.weight_map[name]).toBe(shard);
        expect(entry.dtype).toBe(WEIGHT_DTYPES[dtype].safetensors);
        expect(entry.shape).toEqual(expected.get(name)?.shape);
        expected.delete(name);
        expect(entry.data_offsets[0]).toBe(offset);
        offset = entry.data_offsets[1];

        const values = valuesOf(entry, data);
        expect(values).toHaveLength(entry.shape.reduce((product, size) => product * size, 1));
        const [mean, std] = meanAndStd(values);
        const isNorm = entry.shape.length === 1;
        const targetStd = isNorm ? 0.1 : 0.9 / Math.sqrt(tiny.hiddenSize);
        // The bound is five standard errors of a sample of this size.
        const allowed = (5 * targetStd) / Math.sqrt(values.length);
        expect(Math.abs(mean - (isNorm ? 1 : 0))).toBeLessThan(allowed);
        expect(Math.abs(std - targetStd)).toBeLessThan(allowed + 0.01 * targetStd);
        expect(Math.min(...values.slice(0, 10_000).map(Math.abs))).toBeGreaterThanOrEqual(2 ** -14);
        if (!isNorm) {
          const [rows = 0, columns = 0] = entry.shape;
          const rowTexts = Array.from({ length: rows }, (_, row) =>
            values.slice(row * columns, (row + 1) * columns).join(),
          );
          expect(new Set(rowTexts).size).toBe(rows);
        }
      }
      expect(data).toHaveLength(offset);
      expect(offset).toBeLessThanOrEqual(1_050_000);
      bytesFound += offset;
    }
    expect([...expected.keys()]).toEqual([]);
    expect(bytesFound).toBe(totalBytes);
    expect(index.metadata.total_size).toBe(totalBytes);
    expect(index.metadata.total_parameters).toBe(totalBytes / WEIGHT_DTYPES[dtype].bytes);
  });
});

test("SmolLM3-3B's shape has the parameter count of the published model", () => {
  const tensors = checkpointTensors(CHECKPOINT_SHAPES["smollm3-3b"]);
  const parameters = tensors.reduce(
    (sum, tensor) => sum + tensor.shape.reduce((product, size) => product * size, 1),
    0,
  );
  expect(parameters).toBe(3_075_098_624);
});

describe("the command", () => {
  test.each(["llama3-untied", "gpt2", "blenderbot"])("of a model's own config.json: %s", async (name) => {
    const golden = goldenPath(name);
    const out = join(folder, name);
    await run(golden, out, "--dtype", "bf16");
    const shapesOf = async (directory: string): Promise<Map<string, readonly number[]>> =>
      // final_logits_bias is published as [1, vocabulary].
      new Map(
        [...(await openCheckpoint(directory)).tensors].map(([key, { shape }]) => [
          key,
          shape[0] === 1 ? shape.slice(1) : shape,
        ]),
      );
    const published = await shapesOf(golden);
    const written = await shapesOf(out);
    expect(written.size).toBeGreaterThan(10);
    for (const [key, shape] of written) {
      expect([key, published.get(key)]).toEqual([key, shape]);
    }
    await using model = await loadModel(out, { device: "wasm", threads: 1 });
    const { tokens } = await model.generate([5, 6, 7], { maxNewTokens: 3, doSample: false, ignoreEos: true });
    expect(tokens).toHaveLength(3);
  });

  const run = (...args: string[]) => promisify(execFile)(process.execPath, [SCRIPT, ...args]);

  test("writes the same bytes for the same seed, other bytes for another, and stays quiet", async () => {
    const bytes: Buffer[] = [];
    for (const [name, seed] of [
      ["a", "7"],
      ["b", "7"],
      ["c", "8"],
    ] as const) {
      const { stdout, stderr } = await run("smollm3-tiny", join(folder, name), "--seed", seed);
      expect(stdout + stderr).toBe("");
      bytes.push(await readFile(join(folder, name, "model-00001-of-00001.safetensors")));
    }
    expect(bytes[0]?.equals(bytes[1])).toBe(true);
    expect(bytes[0]?.equals(bytes[2])).toBe(false);

    const config = (await readJson(join(folder, "a", "config.json"))) as Record<string, unknown>;
    expect(config).toMatchObject({
      model_type: "smollm3",
      hidden_size: 128,
      torch_dtype: "bfloat16",
      no_rope_layers: [1, 1, 1, 0, 1, 1, 1, 0],
    });
  });

  test.each([
    [["smollm3-tny", "x"], 2, 'found "smollm3-tny". Did you mean "smollm3-tiny"?'],
    [["smollm3-tiny"], 2, "Expected SHAPE and OUT_DIR, found 1 arguments."],
    [["smollm3-tiny", "x", "--dtype", "int8"], 2, '--dtype must be one of bf16, f16, f32; found "int8".'],
    [["smollm3-tiny", "x", "--seed", "-1"], 2, "--seed"],
    [["smollm3-tiny", "x", "--sede", "1"], 2, "--sede"],
  ])("refuses %j", async (args, code, message) => {
    const error: unknown = await run(...args).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect((error as { stderr: string }).stderr).toContain(message);
  });

  test("refuses a folder that holds something", async () => {
    const occupied = await mkdtemp(join(folder, "occupied-"));
    await writeFile(join(occupied, "notes.txt"), "keep me");
    const error: unknown = await run("smollm3-tiny", occupied).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 1 });
    expect((error as { stderr: string }).stderr).toContain(
      `"${occupied}" must be empty, but holds 1 entries ("notes.txt", …)`,
    );
    expect(await readdir(occupied)).toEqual(["notes.txt"]);
  });
});
