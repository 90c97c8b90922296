/** Golden models' weights, which two languages compute: known numbers, their shape, and how formats store them. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenTensors, hashedWeights, storedBytes, type TensorManifest } from "./support/golden-weights.ts";
import { goldenPath } from "./support/model-files.ts";
import { bf16Value, f16Value } from "./support/numbers.ts";

const MATRIX = { center: 0, bits: 7, exponent: -9 };
const GAIN = { center: 1, bits: 5, exponent: -7 };

describe("hashedWeights", () => {
  it("are what golden_weights.py computes", () => {
    expect([...hashedWeights("3/名前.weight", 6, MATRIX)].map((value) => value * 512)).toEqual([
      83, 44, 103, -4, 62, 47,
    ]);
    expect([...hashedWeights("11/model.norm.weight", 6, GAIN)].map((value) => value * 128)).toEqual([
      139, 107, 141, 139, 113, 101,
    ]);
  });

  it.each([
    ["matrix", MATRIX],
    ["gain", GAIN],
  ])("are bell-shaped and symmetric around the center: %s", (name, rule) => {
    const count = 40_000;
    const values = [...hashedWeights(`0/${name}`, count, rule)];
    const deviation = 2 ** (rule.exponent + rule.bits) / Math.sqrt(3);
    const moment = (power: number): number =>
      values.reduce((sum, value) => sum + ((value - rule.center) / deviation) ** power, 0) / count;
    // The bound is five standard errors. A sum of four uniform numbers has the fourth moment 3 - 6/5 · 1/4.
    const error = 5 / Math.sqrt(count);
    expect(Math.abs(moment(1))).toBeLessThan(error);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(2 * error);
    expect(Math.abs(moment(3))).toBeLessThan(4 * error);
    expect(Math.abs(moment(4) - 2.7)).toBeLessThan(8 * error);
  });
});

describe("storedBytes", () => {
  const values = Float32Array.of(...hashedWeights("0/x", 500, MATRIX), 0, 1, -1.5, 2 ** -14, 65_280);

  it.each([
    ["BF16", bf16Value],
    ["F16", f16Value],
  ] as const)("keeps every number in %s", (dtype, valueOf) => {
    const bytes = Uint8Array.from(storedBytes("x", values, dtype));
    expect(Array.from(new Uint16Array(bytes.buffer), valueOf)).toEqual([...values]);
  });

  it.each([
    ["BF16", 1 + 2 ** -8],
    ["F16", 1 + 2 ** -11],
    ["F16", 2 ** 16],
    ["F16", 2 ** -15],
  ] as const)("refuses what %s cannot hold: %d", (dtype, value) => {
    expect(() => storedBytes("x", Float32Array.of(1, value), dtype)).toThrow(
      `Element 1 of "x" is ${value}, which is no number of ${dtype}.`,
    );
  });
});

describe("goldenTensors", () => {
  it("expands layers and refuses unknown rules", () => {
    const manifest: TensorManifest = {
      seed: 1,
      dtype: "F32",
      rules: { matrix: MATRIX },
      tensors: { "h.{0,10}.w": ["matrix", 2, 3], a: ["matrix", 4] },
    };
    const tensors = goldenTensors(manifest);
    expect(tensors.map(({ name, shape }) => [name, shape])).toEqual([
      ["a", [4]],
      ["h.0.w", [2, 3]],
      ["h.10.w", [2, 3]],
    ]);
    expect(tensors[1].values).not.toEqual(tensors[2].values);
    expect(() => goldenTensors({ ...manifest, rules: {} })).toThrow('the rule "matrix"');
  });
});

describe("goldenPath", () => {
  it("gives the same folder twice, by the model's name, and refuses others", () => {
    const path = goldenPath("smollm3-sharded");
    expect(goldenPath("smollm3-sharded")).toBe(path);
    expect(basename(path)).toBe("smollm3-sharded");
    expect(readdirSync(path).filter((file) => file.startsWith("model"))).toEqual([
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
      "model.safetensors.index.json",
    ]);
    expect(() => goldenPath("smollm4")).toThrow('No golden model is named "smollm4"');
  });

  it("says in config.json how a variant is stored", () => {
    for (const [name, dtype] of [
      ["smollm3", "float32"],
      ["smollm3-bf16", "bfloat16"],
      ["smollm3-f16", "float16"],
    ]) {
      const config = JSON.parse(readFileSync(join(goldenPath(name), "config.json"), "utf8")) as object;
      expect(config).toMatchObject({ torch_dtype: dtype });
    }
  });
});
