/** The benchmark of quality: its arithmetic against formulas written out, its tools, and all of it on the bundled model. */
import { execFile, type ExecFileException } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compareRow, Comparison } from "../bench/quality/compare.ts";
import { readQualityFlags } from "../bench/quality/flags.ts";
import { f16, roundTrip } from "../bench/quality/ggml-types.ts";
import { addGridNoise } from "../bench/quality/grid-noise.ts";
import { rewriteWeights } from "../bench/quality/rewrite-weights.ts";
import { toQualityTable } from "../bench/quality/table.ts";
import { tarMember } from "../bench/quality/text.ts";
import { openModel } from "../src/models/open-model.ts";
import { modelPath } from "./support/golden.ts";
import { normalNumbers, randomSource } from "./support/numbers.ts";
import { readWeights } from "./support/reference-model.ts";

const tales = modelPath("tales");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bench-quality-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs one of the benchmark's programs. */
function program(
  name: string,
  ...args: string[]
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const script = join(import.meta.dirname, "../bench/quality", name);
    execFile(process.execPath, [script, ...args], (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

function softmax(logits: Float32Array): number[] {
  const exps = Array.from(logits, (logit) => Math.exp(logit));
  const sum = exps.reduce((total, value) => total + value, 0);
  return exps.map((value) => value / sum);
}

describe("comparing distributions", () => {
  const random = randomSource(4);
  const [p, q] = [normalNumbers(50, random, 2), normalNumbers(50, random, 2)];

  test("the divergence is the sum of p (ln p - ln q)", () => {
    const [a, b] = [softmax(p), softmax(q)];
    const expected = a.reduce((sum, value, i) => sum + value * (Math.log(value) - Math.log(b[i])), 0);
    expect(compareRow(p, q).divergence).toBeCloseTo(expected, 10);
    expect(compareRow(q, p).divergence).not.toBeCloseTo(expected, 2);
    // Adding a number to all logits changes no probability.
    const shifted = compareRow(
      p.map((logit) => logit + 300),
      q.map((logit) => logit - 300),
    );
    expect(shifted.divergence).toBeCloseTo(expected, 3);
    expect(compareRow(p, p)).toMatchObject({ divergence: 0, isSameTop: true });
  });

  test("perplexity, mean, percentile and agreement over positions", () => {
    const size = 4;
    const comparison = new Comparison();
    // 99 positions that are the same, and one with another likeliest token.
    for (let row = 0; row < 100; row++) {
      const reference = Float32Array.of(2, 1, 0, 0);
      const candidate = row === 40 ? Float32Array.of(0, 2, 1, 0) : reference;
      comparison.add(reference, candidate, [0]);
    }
    const { divergence } = compareRow(Float32Array.of(2, 1, 0, 0), Float32Array.of(0, 2, 1, 0));
    const found = comparison.result;
    expect(found).toMatchObject({ positions: 100, divergence99: 0, sameTop: 0.99 });
    expect(found.meanDivergence).toBeCloseTo(divergence / 100, 12);
    const surprise = -(
      99 * Math.log(softmax(Float32Array.of(2, 1, 0, 0))[0]) +
      Math.log(softmax(Float32Array.of(0, 2, 1, 0))[0])
    );
    expect(found.perplexity).toBeCloseTo(Math.exp(surprise / 100), 10);
    comparison.add(new Float32Array(size), Float32Array.of(5, 0, 0, 0), [1]);
    // Of 101 values the 100th is the 99th percentile: no longer the one that was above all before.
    expect(comparison.result.divergence99).toBeCloseTo(
      Math.min(divergence, compareRow(new Float32Array(size), Float32Array.of(5, 0, 0, 0)).divergence),
      12,
    );
  });
});

describe("llama.cpp's types", () => {
  test("f16 is the nearest, ties to even, subnormals included", () => {
    const cases = [
      [0, 0],
      [1, 1],
      [1 + 2 ** -11, 1],
      [1 + 3 * 2 ** -11, 1 + 2 ** -9],
      [-0.1, -0.0999755859375],
      [2 ** -25, 0],
      [1.5 * 2 ** -24, 2 ** -23],
    ];
    for (const [value, expected] of cases) {
      expect(f16(value)).toBe(expected);
    }
  });

  test.each([
    // The number furthest from 0, here negative, is 8 steps; 0.49 steps are rounded down.
    ["q4_0", [-8, 7.4, 0.49, -3.51], [-8, 7, 0, -4]],
    ["q4_0", [8, 7.4, 0.49, -8], [8, 7, 0, -7]],
    ["q4_1", [1, 16, 1.49, 9.51], [1, 16, 1, 10]],
    ["q8_0", [127, -127, 0.5, -0.5], [127, -127, 1, -1]],
  ] as const)("%s of %j", (type, values, expected) => {
    const block = new Float32Array(32);
    block.set(values);
    if (type === "q4_1") {
      block.fill(1, 4);
    }
    roundTrip(block, 32, type);
    expect(Array.from(block.subarray(0, 4), (value) => value + 0)).toEqual(expected);
    expect(new Set(Array.from(block.subarray(4), (value) => value + 0))).toEqual(
      new Set([type === "q4_1" ? 1 : 0]),
    );
  });

  test("rows and their last, shorter blocks have scales of their own", () => {
    const values = Float32Array.from({ length: 2 * 40 }, (_, i) => (i < 32 ? 1e-3 : i < 40 ? 1 : 100));
    roundTrip(values, 40, "q4_0");
    expect(values[0]).toBeCloseTo(1e-3, 6);
    expect(values[39]).toBeCloseTo(1, 3);
    expect(values[79]).toBeCloseTo(100, 1);
  });
});

describe("taking weights off a grid", () => {
  const levels = (count: number): Float32Array =>
    Float32Array.from({ length: 64 }, (_, i) => (i % count) * 0.5 - 3);

  test("each moves by up to half a step, evenly, by its seed and name alone", () => {
    const before = levels(16);
    const [one, again, other] = [before.slice(), before.slice(), before.slice()];
    addGridNoise(one, 32, 1, "a");
    addGridNoise(again, 32, 1, "a");
    addGridNoise(other, 32, 2, "a");
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    const moved = one.map((value, i) => (value - before[i]) / 0.5);
    expect(Math.max(...moved.map(Math.abs))).toBeLessThanOrEqual(0.5);
    expect(Math.max(...moved)).toBeGreaterThan(0.4);
    expect(Math.min(...moved)).toBeLessThan(-0.4);
  });

  test("a matrix with more levels stays what it is", () => {
    const values = levels(17);
    addGridNoise(values, 32, 1, "a");
    expect(values).toEqual(levels(17));
  });
});

test("a file of an archive", () => {
  const entry = (name: string, content: string): Buffer => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    return Buffer.concat([header, Buffer.from(content.padEnd(Math.ceil(content.length / 512) * 512, "\0"))]);
  };
  const archive = Buffer.concat([entry("a", "x".repeat(600)), entry("ab", "found"), Buffer.alloc(1024)]);
  expect(tarMember(archive, "ab").toString()).toBe("found");
  expect(() => tarMember(archive, "b")).toThrow("There is no b in the archive");
});

test("a folder with other weights: matrices changed, vectors as they were, and it loads", async () => {
  const directory = join(folder, "doubled");
  const seen: string[] = [];
  await rewriteWeights(tales, directory, (values, { name, columns, isTable }) => {
    expect(values.length % columns).toBe(0);
    if (isTable) {
      seen.push(name);
    }
    values.forEach((value, i) => (values[i] = 2 * value));
  });
  expect(seen).toEqual(["model.embed_tokens.weight"]);
  expect(await readdir(directory)).toContain("tokenizer.json");
  const [before, after] = await Promise.all([openModel(tales), openModel(directory)]);
  const [was, is] = [before, after].map(({ program, checkpoint }) => readWeights(program, checkpoint));
  for (const [name, values] of was) {
    const factor = before.program.matrices.has(name) ? 2 : 1;
    expect(
      is.get(name)?.every((value, i) => value === factor * values[i]),
      name,
    ).toBe(true);
  }
});

describe("flags", () => {
  test("defaults and values", () => {
    expect(readQualityFlags(["--model", "m", "--threads", "2"])).toEqual({
      model: "m",
      text: undefined,
      tokens: 16_384,
      window: 512,
      quantization: undefined,
      against: [],
      threads: 2,
      json: false,
    });
    const all = "--model m --text t --tokens 9 --window 4 --quantization int4 --against a --against b --json";
    expect(readQualityFlags(all.split(" "))).toMatchObject({
      text: "t",
      tokens: 9,
      window: 4,
      quantization: "int4",
      against: ["a", "b"],
      json: true,
    });
    expect(readQualityFlags(["--help"])).toBeUndefined();
  });

  test.each([
    ["--tokens 9", "--model is missing"],
    ["--model m --tokens 1", "--tokens must be an integer from 2"],
    ["--model m --window x", "--window must be an integer from 2"],
    ["--model m --quantization none", '--quantization must be int8 or int4; found "none"'],
    ["--model m --fast", "--fast"],
  ])("%s is refused", (line, message) => {
    expect(() => readQualityFlags(line.split(" "))).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(message) as string }),
    );
  });
});

interface Row {
  weights: string;
  activations: string;
  positions: number;
  perplexity: number;
  mean_kl: number;
  same_top_token: number;
  worst_matrix_error: number | null;
  bits_per_weight: number | null;
}

test("the bundled model: fewer bits are further off; rounded weights are compared too", async () => {
  const text = join(folder, "text.txt");
  await writeFile(
    text,
    "Once upon a time there was a king who had three sons, and the youngest was a fool. ".repeat(20),
  );
  const rounded = join(folder, "q4_0");
  expect(await program("make-weights.ts", tales, rounded, "--ggml", "q4_0")).toMatchObject({ code: 0 });
  const args = ["--model", tales, "--text", text, "--tokens", "200", "--window", "64", "--threads", "1"];
  const { code, stdout, stderr } = await program(
    "quality.ts",
    ...[...args, "--against", rounded, "--json", "--plot", join(folder, "quality.svg")],
  );
  expect(code, stderr).toBe(0);
  const { rows } = JSON.parse(stdout) as { rows: Row[] };
  const picture = await readFile(join(folder, "quality.svg"), "utf8");
  expect(picture).toContain("Not shown, since their size is not known: q4_0, float32 activations.");
  expect(rows.map(({ weights, activations }) => `${weights} ${activations}`)).toEqual([
    "none float32",
    "int8 float32",
    "int8 int8",
    "int4 float32",
    "int4 int8",
    "q4_0 float32",
  ]);
  // 200 tokens in sequences of 64: each sequence's last token has nothing after it.
  expect(new Set(rows.map(({ positions }) => positions))).toEqual(new Set([196]));
  const [none, eight, eightInteger, four, fourInteger, ggml] = rows;
  expect(none).toMatchObject({ mean_kl: 0, same_top_token: 1, bits_per_weight: null });
  expect(eight.mean_kl).toBeGreaterThan(0);
  expect(eightInteger.mean_kl).toBeGreaterThan(eight.mean_kl);
  expect(four.mean_kl).toBeGreaterThan(10 * eight.mean_kl);
  expect(fourInteger.mean_kl).not.toBe(four.mean_kl);
  expect(ggml.mean_kl).toBeGreaterThan(four.mean_kl);
  for (const { perplexity } of rows) {
    expect(Math.abs(perplexity / none.perplexity - 1)).toBeLessThan(0.1);
  }
  expect(eight.bits_per_weight).toBe(8.5);
  expect(four.bits_per_weight).toBeCloseTo(5.384, 3);
  expect(eight.worst_matrix_error).toBeLessThan(0.01);
  expect(four.worst_matrix_error).toBeGreaterThan(0.05);
  expect(four.worst_matrix_error).toBeLessThan(0.1);
});

test("the table names what was measured", () => {
  const quality = { positions: 9, meanDivergence: 0.01, divergence99: 0.1, sameTop: 0.95 };
  const table = toQualityTable({
    model: "m",
    device: "wasm",
    text: "a book",
    tokens: 10,
    window: 5,
    rows: [
      { weights: "none", activations: "float32", ...quality, perplexity: 10 },
      { weights: "int4", activations: "int8", ...quality, perplexity: 10.1, bitsPerWeight: 4.6 },
    ],
  });
  expect(table).toContain("m: wasm; 10 tokens of a book in sequences of 5");
  expect(table).toMatch(/^none +10\.0000 +\+0\.000 %$/m);
  expect(table).toMatch(/^int4 +int8 +10\.1000 +\+1\.000 % +0\.01000 +0\.1000 +95\.00 % +4\.60$/m);
});

test("wrong usage says so", async () => {
  expect(await program("quality.ts")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--model") as string,
  });
  expect(await program("make-weights.ts", "a", "b")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("one of --noise and --ggml") as string,
  });
});
