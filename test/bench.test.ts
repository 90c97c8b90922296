import { execFile, type ExecFileException } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHECKPOINT_SHAPES, checkpointOfShape } from "../bench/checkpoint/shapes.ts";
import { writeCheckpoint } from "../bench/checkpoint/write-checkpoint.ts";
import { shareOf, totalBytes, weightExtents } from "../bench/harness/extents.ts";
import { readFiles } from "../bench/harness/file-read.ts";
import { readFlags } from "../bench/harness/flags.ts";
import { prefillFlops } from "../bench/harness/flops.ts";
import { decodeRate, likeliest, nonKernelFraction } from "../bench/harness/measurements.ts";
import { combinedRate } from "../src/runtime/measure.ts";
import { Progress } from "../bench/harness/progress.ts";
import { median, scale, summarize } from "../bench/harness/statistics.ts";
import { contextLengthFor, randomTokens } from "../bench/harness/workload.ts";
import { ProgramBuilder } from "../src/runtime/program.ts";
import { kvLayers } from "../src/runtime/state.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "model-compose-bench-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("statistics", () => {
  test("median", () => {
    expect(median([5, 1, 100])).toBe(5);
    expect(median([10, 9, 2, 1])).toBe(5.5);
    expect(median([7])).toBe(7);
    expect(() => median([])).toThrow(RangeError);
  });

  test("summary and scaling leave the order of min, median and max", () => {
    const summary = summarize([4, 2, 9]);
    expect(summary).toEqual({ median: 4, min: 2, max: 9 });
    expect(scale(summary, 0.5)).toEqual({ median: 2, min: 1, max: 4.5 });
  });

  test("workers together are done when the slowest is", () => {
    expect(
      combinedRate([
        { amount: 30, seconds: 1 },
        { amount: 10, seconds: 4 },
      ]),
    ).toBe(10);
  });

  test("decode: the first token is not counted; idle time is what no kernel used", () => {
    expect(decodeRate([{ wallSeconds: 2, kernelSeconds: 0, steps: 8, tokens: [], costs: [] }])).toBe(4);
    expect(nonKernelFraction({ wallSeconds: 2, kernelSeconds: 1.5 })).toBe(0.25);
  });
});

test("FLOPs of a prefill, counted by hand", () => {
  const p = new ProgramBuilder();
  const x = p.buffer("x", 4);
  const q = p.buffer("q", 6);
  p.group("layer");
  p.op({ role: "embed", table: p.matrix("table", 10, 4), output: x });
  p.op({ role: "linear", input: x, weight: p.matrix("w", 6, 4), output: q, accumulate: false });
  p.op({ role: "attention", over: "past", query: q, layer: 0, heads: 3, scale: 1, output: q });
  p.op({ role: "logits", input: x, weight: "table" });
  const program = p.build({
    family: "test",
    vocabSize: 10,
    maxPositions: 8,
    state: kvLayers(1, { kvHeads: 1, headDim: 2 }),
  });
  // One token: 6 × 4 multiply-adds, one position seen by 3 heads (2 for the score, 2 for the value), 10 × 4 of the head.
  expect(prefillFlops(program, 1)).toBe(2 * 24 + 2 * (3 * (2 + 2)) + 2 * 40);
  // Three tokens take thrice the linear work, 1 + 2 + 3 positions, and the head once.
  expect(prefillFlops(program, 3)).toBe(3 * 48 + 6 * 24 + 80);
});

describe("extents", () => {
  const tensor = (file: string, offset: number, byteLength: number) => ({ file, offset, byteLength });

  test("neighbours are joined, gaps and files are not", () => {
    expect(
      weightExtents([
        tensor("b", 8, 10),
        tensor("a", 30, 5),
        tensor("a", 8, 4),
        tensor("a", 12, 8),
        tensor("b", 18, 2),
      ]),
    ).toEqual([
      { file: "a", offset: 8, length: 12 },
      { file: "a", offset: 30, length: 5 },
      { file: "b", offset: 8, length: 12 },
    ]);
  });

  test.each([1, 2, 3, 7])("%i shares cover every byte once", (readers) => {
    const extents = [
      { file: "a", offset: 3, length: 17 },
      { file: "b", offset: 0, length: 2 },
    ];
    const bytes = Array.from({ length: readers }, (_, index) => shareOf(extents, index, readers))
      .flat()
      .flatMap(({ file, offset, length }) => Array.from({ length }, (_, i) => `${file}${offset + i}`));
    const expected = extents.flatMap(({ file, offset, length }) =>
      Array.from({ length }, (_, i) => `${file}${offset + i}`),
    );
    expect(bytes.sort()).toEqual(expected.sort());
    expect(totalBytes(extents)).toBe(19);
  });

  test.each(["keep", "discard"] as const)(
    "threads read them (%s); a short file is an error",
    async (mode) => {
      const file = join(folder, `data-${mode}`);
      await writeFile(file, Buffer.alloc(20_000_000, 7));
      const extents = [{ file, offset: 11, length: 19_999_989 }];
      expect(await readFiles(extents, 2)).toBeGreaterThan(0);
      await truncate(file, 19_999_999);
      await expect(readFiles(extents, 2)).rejects.toMatchObject({
        code: "device",
        message: expect.stringContaining(file) as string,
      });
    },
  );
});

describe("workload", () => {
  test("random tokens: all over the vocabulary, the same for a seed, whatever the count", () => {
    const tokens = randomTokens(2000, 10, 3);
    expect(new Set(tokens)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    expect(randomTokens(100, 10, 3)).toEqual(tokens.slice(0, 100));
    expect(randomTokens(100, 10, 4)).not.toEqual(tokens.slice(0, 100));
  });

  const lengths = { promptTokens: 512, decodePromptTokens: 128, newTokens: 64, contextLength: undefined };

  test("the context is what is needed, rounded up, at least 512", () => {
    expect(contextLengthFor(lengths, 65536)).toBe(576);
    expect(contextLengthFor({ ...lengths, promptTokens: 513 }, 65536)).toBe(640);
    expect(contextLengthFor({ ...lengths, promptTokens: 1, decodePromptTokens: 700 }, 65536)).toBe(768);
    expect(contextLengthFor({ ...lengths, promptTokens: 10 }, 65536)).toBe(512);
    expect(contextLengthFor({ ...lengths, promptTokens: 10 }, 300)).toBe(300);
    expect(contextLengthFor({ ...lengths, contextLength: 4096 }, 65536)).toBe(4096);
  });

  test("a context that does not hold the tokens, or that the model has not, is refused", () => {
    expect(() => contextLengthFor({ ...lengths, contextLength: 575 }, 65536)).toThrow(
      "need a context of 576; it is 575 (--context-length)",
    );
    expect(() => contextLengthFor(lengths, 575)).toThrow("it is 575, the model's maximum");
    expect(() => contextLengthFor({ ...lengths, contextLength: 5000 }, 4096)).toThrow("at most 4096");
  });

  test("the likeliest token; logits that are no numbers are refused", () => {
    expect(likeliest(Float32Array.of(-3, 2, 2, -1))).toBe(1);
    expect(() => likeliest(Float32Array.of(1, NaN))).toThrow("token 1 is NaN");
    expect(() => likeliest(Float32Array.of(Infinity, 1))).toThrow("token 0 is Infinity");
  });
});

describe("flags", () => {
  test("defaults and values", () => {
    expect(readFlags(["--model", "m", "--threads", "2"])).toEqual({
      kind: "model",
      flags: {
        model: "m",
        device: { kind: "wasm" },
        threads: 2,
        promptTokens: 512,
        decodePromptTokens: 128,
        newTokens: 64,
        repeat: 3,
        contextLength: undefined,
        kernelBuild: undefined,
        integerDot: undefined,
        quantization: "none",
        activations: "int8",
        quantizedCache: true,
        kvPrecision: undefined,
        fillsCache: false,
        prefill: "exact",
        check: false,
        profile: false,
        contended: false,
        json: false,
      },
    });
    expect(readFlags("--model m --depth 4096 --kv-precision float16".split(" "))).toMatchObject({
      flags: { decodePromptTokens: 4096, fillsCache: true, kvPrecision: "float16" },
    });
    const flags = "--model=m --device wasm --kernel-build baseline --context-length 99 --json --contended";
    expect(readFlags(flags.split(" "))).toMatchObject({
      kind: "model",
      flags: { kernelBuild: "baseline", contextLength: 99, json: true, contended: true },
    });
    const quantized = "--model m --quantization int4 --activations float32 --kernel-build wide-256+vnni";
    expect(readFlags(quantized.split(" "))).toMatchObject({
      kind: "model",
      flags: {
        quantization: "int4",
        activations: "float32",
        kernelBuild: "wide-256",
        integerDot: "vnni",
      },
    });
    const gpu = "--model m --device webgpu:H200 --prefill f16 --check --profile";
    expect(readFlags(gpu.split(" "))).toMatchObject({
      kind: "model",
      flags: { device: { kind: "webgpu", adapter: "H200" }, prefill: "f16", check: true, profile: true },
    });
    expect(readFlags(["--dawn-backend", "null"])).toEqual({
      kind: "encode",
      flags: {
        model: undefined,
        decodePromptTokens: 128,
        newTokens: 256,
        repeat: 5,
        contextLength: undefined,
        json: false,
      },
    });
    expect(readFlags(["--device", "webgpu:?"])).toEqual({ kind: "list-adapters" });
    expect(readFlags(["-h"])).toEqual({ kind: "help" });
  });

  test.each([
    ["", "--model is missing"],
    ["--model m --threads 0", '--threads must be an integer from 1 to 16777216; found "0"'],
    ["--model m --repeat 1.5", '--repeat must be an integer from 1 to 16777216; found "1.5"'],
    ["--model m --new-tokens 1", '--new-tokens must be an integer from 2 to 16777216; found "1"'],
    ["--model m --prompt-tokens 1e3", 'found "1e3"'],
    [
      "--model m --kernel-build fast",
      '--kernel-build must be wide-256, relaxed-128, baseline, the first two also with +vnni or +dot16; found "fast"',
    ],
    ["--model m --kernel-build wide-256+avx", 'found "wide-256+avx"'],
    ["--model m --kernel-build wide-256+vnni+vnni", 'found "wide-256+vnni+vnni"'],
    ["--model m --kernel-build +vnni", 'found "+vnni"'],
    ["--model m --quantization int3", "The quantization 'int3' is not supported"],
    ["--model m --quantization auto", "--quantization must be none, int8 or int4"],
    ["--model m --activations int4", '"activations" must be one of int8, float32'],
    ["--model m --device webgpu --activations int8", "--activations does not go with --device webgpu"],
    ["--dawn-backend null --quantization int4", "--quantization does not go with --dawn-backend null"],
    ["--model m --device gpu", "There is no device 'gpu'"],
    ["--model m --device auto", '--device must be wasm, webgpu or webgpu:NAME; found "auto"'],
    ["--device webgpu", "--model is missing"],
    [
      "--model m --device webgpu --prefill fast",
      "must be one of exact, split, f16, subgroup-matrix; found 'fast'",
    ],
    ["--model m --prefill f16", 'The prefill mode "f16" is the GPU\'s'],
    ["--model m --check", "--check does not go with --device wasm"],
    ["--model m --profile", "--profile does not go with --device wasm"],
    [
      "--model m --device webgpu --kernel-build relaxed-128",
      "--kernel-build does not go with --device webgpu",
    ],
    ["--dawn-backend vulkan", '--dawn-backend must be null; found "vulkan"'],
    ["--dawn-backend null --device wasm", "--device does not go with --dawn-backend null"],
    ["--dawn-backend null --check", "--check does not go with --dawn-backend null"],
    ["--model m --prompt 3", "--prompt"],
    ["m", "m"],
  ])("%s is refused", (line, message) => {
    const args = line === "" ? [] : line.split(" ");
    expect(() => readFlags(args)).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(message) as string }),
    );
  });
});

test("progress: a line on a terminal, nothing but notices in a pipe", () => {
  const show = (isTTY: boolean): string => {
    let shown = "";
    const progress = new Progress({
      isTTY,
      write: (text: string | Uint8Array) => ((shown += String(text)), true),
    });
    progress.phase("one");
    progress.step("too soon");
    progress.notice("memory is short");
    progress.clear();
    return shown;
  };
  expect(show(false)).toBe("memory is short\n");
  expect(show(true)).toBe("\r\x1b[Kone\r\x1b[Kmemory is short\n\r\x1b[K");
});

describe("bench, as it is run", () => {
  const SCRIPT = join(import.meta.dirname, "../bench/bench.ts");
  const tiny = CHECKPOINT_SHAPES["smollm3-tiny"];
  let weightBytes = 0;
  beforeAll(async () => {
    weightBytes = await writeCheckpoint(join(folder, "tiny"), checkpointOfShape(tiny), {
      dtype: "bf16",
      seed: 1,
    });
  });

  function bench(...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      execFile(process.execPath, [SCRIPT, ...args], (error: ExecFileException | null, stdout, stderr) => {
        resolve({ code: error === null ? 0 : error.code, stdout, stderr });
      });
    });
  }

  const lengths = [
    "--prompt-tokens",
    "70",
    "--decode-prompt-tokens",
    "9",
    "--new-tokens",
    "12",
    "--repeat",
    "2",
  ];

  test("one JSON object with the names that scripts compare, and figures that fit together", async () => {
    const flags = ["--threads", "2", "--kernel-build", "baseline", "--contended", "--json"];
    const { code, stdout, stderr } = await bench("--model", join(folder, "tiny"), ...lengths, ...flags);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const result = JSON.parse(stdout) as Record<string, number>;
    const repeated = [
      "load_seconds",
      "file_read_seconds",
      "time_to_first_token_seconds",
      "prefill_tokens_per_second",
      "prefill_flops_per_second",
      "fma_peak_flops",
      "prefill_peak_fraction",
      "decode_tokens_per_second",
      "read_bandwidth_bytes_per_second",
      "decode_bandwidth_fraction",
      "non_kernel_fraction",
      "contended_decode_tokens_per_second",
    ];
    for (const name of repeated) {
      const [x, min, max] = [result[name], result[`${name}_min`], result[`${name}_max`]];
      expect(min, name).toBeGreaterThan(0);
      expect(min, name).toBeLessThanOrEqual(x);
      expect(x, name).toBeLessThanOrEqual(max);
    }
    expect(result).toMatchObject({
      threads: 2,
      kernel_build: "baseline",
      prompt_tokens: 70,
      decode_prompt_tokens: 9,
      new_tokens: 12,
      repeat: 2,
      context_length: 512,
      node_version: process.versions.node,
      // The cache holds keys and values of f32: 8 layers, 512 positions, 2 heads of 32.
      kv_cache_bytes: 8 * 512 * 2 * 2 * 32 * 4,
      // The gains of norms (17 of 128) are not matrices.
      weight_bytes_per_token: weightBytes - 17 * 128 * 2,
    });
    expect(Object.keys(result).filter((name) => /gpu|adapter|dispatch|encode|check/.test(name))).toEqual([]);
    expect(result["non_kernel_fraction_max"]).toBeLessThan(1);
    expect(result["cpu_model"]).toBeTypeOf("string");
    expect(result["peak_rss_bytes"]).toBeGreaterThan(weightBytes);
    expect(result["prefill_peak_fraction"]).toBeCloseTo(
      (result["prefill_tokens_per_second"] * result["prefill_flops"]) / 70 / result["fma_peak_flops"],
      10,
    );
  });

  test("a table without --json", async () => {
    const picture = join(folder, "tiny.svg");
    const args = ["--model", join(folder, "tiny"), ...lengths, "--threads", "1", "--plot", picture];
    const { code, stdout } = await bench(...args);
    expect(code).toBe(0);
    const [drawn] = /(?<=decode: )[^<]*/.exec(readFileSync(picture, "utf8")) ?? [];
    expect(drawn).toBe("12 tokens after 9");
    expect(stdout).toContain("1 thread)");
    expect(stdout).toMatch(/^decode +\d.* tokens\/s +\d.* to .* tokens\/s +12 tokens after 9$/m);
    expect(stdout).toMatch(/^peak RSS +\d/m);
  });

  test.each([
    ["a wrong flag", ["--model", "m", "--thread", "2"], 2, "--thread"],
    ["no model", ["--model", "./nothing-here"], 1, "does not exist"],
  ])("%s: one line, an exit code, no stack", async (_name, args, expected, message) => {
    const { code, stdout, stderr } = await bench(...args);
    expect({ code, stdout }).toEqual({ code: expected, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
