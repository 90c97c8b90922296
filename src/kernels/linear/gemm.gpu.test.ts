import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { gpuWeights } from "../../../test/support/gpu-weights.ts";
import {
  normalNumbers,
  product,
  randomMatrix,
  randomSource,
  UNIT_ROUNDOFF,
  worstError,
  type Format,
} from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { packedWords, packKernel } from "./gemm-pack.gpu.ts";
import {
  gemmKernel,
  gemmMemory,
  gemmParams,
  gemmWorkgroups,
  inQuads,
  tileSize,
  type GemmTiling,
  type TileMode,
} from "./gemm.gpu.ts";

/** Of f16, to nearest; WGSL only promises one of the two neighbours, which doubles it. */
const HALF_ROUNDOFF = 2 ** -11;

const MAX_ROWS = 150;

const SMALL: GemmTiling = { rowQuads: 1, columnQuads: 1, tileK: 32, buffers: 1 };

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open(["subgroups", "shader-f16"]);
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

interface Case {
  mode?: TileMode;
  format?: Format;
  tiling?: GemmTiling;
  rows: number;
  columns: number;
  outputs: number;
  bias?: boolean;
  accumulate?: boolean;
  /** First rows of the shards after the first one. */
  cuts?: number[];
  edges?: boolean;
  x?: Float32Array;
  maxPerDimension?: number;
}

/** Runs the kernel shard by shard; what it wrote, what it should have, and the bound of product(). */
async function multiply(options: Case): Promise<{
  actual: Float32Array;
  expected: Float64Array;
  bound: Float64Array;
  /** Σ |x| |weight| of every output. */
  magnitude: Float64Array;
}> {
  const { mode = "exact", format = "bf16", tiling = SMALL, rows, columns, outputs } = options;
  const { bias = false, accumulate = false, cuts = [], edges = false, maxPerDimension = 65535 } = options;
  const random = randomSource(rows * 7 + columns * 3 + outputs);
  const x = options.x ?? normalNumbers(rows * columns, random, 2);
  const matrix = randomMatrix(format, outputs, columns, random, edges);
  const before = normalNumbers(rows * outputs, random);
  const [offset, biases] = [5, normalNumbers(outputs, random)];

  const shards = [0, ...cuts].map((first, i) => ({ first, count: (cuts[i] ?? outputs) - first }));
  const quads = inQuads(outputs, shards);
  const spec = gemmKernel(
    { format, columns, outputColumns: outputs, bias, accumulate, quads, maxRows: MAX_ROWS },
    mode,
    tiling,
  );
  let input = lab.buffer(x);
  if (mode !== "exact") {
    const packed = lab.buffer(rows * packedWords(columns));
    await lab.run(packKernel(columns), [input, packed], [rows]);
    input = packed;
  }
  const weights = gpuWeights(matrix);
  const stride = weights.length / outputs;
  const vectors = lab.buffer(Float32Array.of(...new Float32Array(offset).fill(NaN), ...biases));
  const output = lab.buffer(accumulate ? before : rows * outputs);
  const rowBuffer = lab.buffer(rowWords(MAX_ROWS, { positions: Array<number>(rows).fill(0) }));
  for (const { first, count } of shards) {
    const weight = lab.buffer(weights.subarray(first * stride, (first + count) * stride));
    await lab.run(
      spec,
      [input, vectors, weight, output, rowBuffer, lab.uniform(gemmParams({ bias: offset, first, count }))],
      gemmWorkgroups(rows, count, tileSize(tiling), maxPerDimension),
    );
  }
  const { values: expected, bound } = product(x, matrix);
  const magnitude = product(x.map(Math.abs), { ...matrix, values: matrix.values.map(Math.abs) }).values;
  expected.forEach((_, i) => {
    if (bias) expected[i] += biases[i % outputs];
    if (accumulate) expected[i] += before[i];
    bound[i] += 2 * UNIT_ROUNDOFF * (Math.abs(expected[i]) + 4);
  });
  return { actual: await lab.read(output), expected, bound, magnitude };
}

async function check(options: Case): Promise<void> {
  const { actual, expected, bound } = await multiply(options);
  const { ratio, text } = worstError(actual, expected, (i) => bound[i]);
  expect(ratio, text).toBeLessThanOrEqual(1);
}

describe("exact", () => {
  test.each<Format>(["bf16", "f16", "f32"])("%s, sizes that no tile divides", async (format) => {
    await check({ format, rows: 67, columns: 77, outputs: 70, edges: true });
  });

  test("one number; whole tiles", async () => {
    await check({ rows: 1, columns: 1, outputs: 1 });
    await check({ rows: 64, columns: 32, outputs: 64 });
  });

  test.each<GemmTiling>([
    { rowQuads: 1, columnQuads: 2, tileK: 16, buffers: 1 },
    { rowQuads: 2, columnQuads: 1, tileK: 8, buffers: 2 },
    { rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 1 },
    { rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 2 },
  ])("tiles $rowQuads × $columnQuads × $tileK, $buffers buffers", async (tiling) => {
    await check({ tiling, rows: 130, columns: 56, outputs: 133, bias: true });
  });

  test("bias, accumulate, written in quads and not", async () => {
    await check({ rows: 9, columns: 40, outputs: 72, bias: true });
    await check({ rows: 9, columns: 40, outputs: 72, accumulate: true });
    await check({ rows: 9, columns: 40, outputs: 71, accumulate: true });
  });

  test("shards of the weight", async () => {
    await check({ rows: 66, columns: 24, outputs: 100, cuts: [12, 80], bias: true, accumulate: true });
    await check({ rows: 6, columns: 24, outputs: 101, cuts: [3, 70], bias: true });
  });

  test("more workgroups than one dimension holds", async () => {
    await check({ rows: 70, columns: 9, outputs: 300, maxPerDimension: 3 });
  });

  test("numbers beyond f16, exactly powers of two", async () => {
    const columns = 20;
    const x = new Float32Array(2 * columns);
    x[3] = 2 ** 100;
    x[columns + 5] = 2 ** -100;
    const { actual, expected } = await multiply({ format: "f32", rows: 2, columns, outputs: 7, x });
    expect([...actual]).toEqual([...expected.map(Math.fround)]);
  });
});

const nmse = (actual: ArrayLike<number>, expected: Float64Array): number => {
  const square = (sum: number, v: number): number => sum + v * v;
  return expected.map((v, i) => v - actual[i]).reduce(square, 0) / expected.reduce(square, 0);
};

describe("f16", () => {
  // "f16" needs shader-f16, which SwiftShader lacks; its arithmetic runs everywhere in the emulated form.
  const modes = (): TileMode[] => (lab.has("shader-f16") ? ["f16", "f16-emulated"] : ["f16-emulated"]);

  test.each<Format>(["bf16", "f16", "f32"])("%s within the rounding of both factors", async (format) => {
    for (const mode of modes()) {
      const { actual, expected, bound, magnitude } = await multiply({
        ...{ mode, format, rows: 67, columns: 77, outputs: 70, bias: true, accumulate: true },
        edges: format === "f16",
      });
      // Each factor is off by 2 HALF_ROUNDOFF at most, and a subnormal half by what flushing takes.
      const { ratio, text } = worstError(
        actual,
        expected,
        (i) => bound[i] + magnitude[i] * 4.01 * HALF_ROUNDOFF + 2 ** -13 * 77,
      );
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  });

  test("NMSE of a long sum stays below that of independent roundings", async () => {
    for (const mode of modes()) {
      for (const tiling of [SMALL, { rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 2 } as const]) {
        const { actual, expected } = await multiply({ mode, tiling, rows: 20, columns: 1000, outputs: 33 });
        const error = nmse(actual, expected);
        // bf16 weights of ordinary size are exact in f16; a rounding of x to nearest has the variance u²/3 at most.
        expect(error).toBeLessThan(HALF_ROUNDOFF ** 2 / 3);
        // It did round.
        expect(error).toBeGreaterThan(HALF_ROUNDOFF ** 2 / 300);
      }
    }
  });

  test("rows of any size keep their precision", async () => {
    const [rows, columns, outputs] = [5, 20, 7];
    const scales = [1e30, 3e-30, 1, 70000, 0];
    const random = randomSource(5);
    const x = normalNumbers(rows * columns, random).map((v, i) => v * scales[Math.floor(i / columns)]);
    for (const mode of modes()) {
      const { actual, expected } = await multiply({ mode, rows, columns, outputs, x });
      for (let r = 0; r < 4; r++) {
        const row = [r * outputs, (r + 1) * outputs] as const;
        expect(nmse(actual.subarray(...row), expected.subarray(...row))).toBeLessThan(HALF_ROUNDOFF ** 2);
      }
      expect([...actual.subarray(4 * outputs)]).toEqual(Array(outputs).fill(0));
    }
  });

  test("a row with an infinity or NaN is NaN throughout, the others are not touched", async () => {
    const x = new Float32Array(3 * 20).fill(1);
    x[1] = Infinity;
    x[2 * 20 + 11] = NaN;
    for (const mode of modes()) {
      const { actual, expected, bound } = await multiply({ mode, rows: 3, columns: 20, outputs: 7, x });
      expect([...actual.subarray(0, 7), ...actual.subarray(14)].every(Number.isNaN)).toBe(true);
      const { ratio, text } = worstError(
        actual.subarray(7, 14),
        expected.subarray(7, 14),
        (i) => bound[7 + i],
      );
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  });

  test("weights beyond f16 saturate", async () => {
    const format = "f32";
    const columns = 4;
    for (const mode of modes()) {
      const spec = gemmKernel(
        { format, columns, outputColumns: 4, bias: false, accumulate: false, quads: true, maxRows: 1 },
        mode,
        SMALL,
      );
      const packed = lab.buffer(packedWords(columns));
      await lab.run(packKernel(columns), [lab.buffer(Float32Array.of(1, 0, 0, 0)), packed], [1]);
      const weight = new Float32Array(16);
      [weight[0], weight[4], weight[8], weight[12]] = [1e5, -1e30, 65504, 1];
      const output = lab.buffer(4);
      await lab.run(
        spec,
        [
          ...[packed, lab.buffer(4), lab.buffer(weight), output],
          lab.buffer(rowWords(1, { positions: [0] })),
          lab.uniform(gemmParams({ bias: 0, first: 0, count: 4 })),
        ],
        [1],
      );
      expect([...(await lab.read(output))]).toEqual([65504, -65504, 65504, 1]);
    }
  });
});

describe("planning", () => {
  test("workgroups cover all tiles and no dimension passes the limit", () => {
    const tile = { rows: 64, columns: 128 };
    expect(gemmWorkgroups(65, 129, tile, 65535)).toEqual([4, 1]);
    expect(gemmWorkgroups(1, 1, tile, 65535)).toEqual([1, 1]);
    const [x, y] = gemmWorkgroups(2048, 128 * 70000, tile, 65535);
    expect(x).toBeLessThanOrEqual(65535);
    expect(x * y).toBeGreaterThanOrEqual(32 * 70000);
    expect(x * (y - 1)).toBeLessThan(32 * 70000);
  });

  test("workgroup memory", () => {
    expect(gemmMemory({ rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 1 }, "exact")).toBe(16384);
    expect(gemmMemory({ rowQuads: 1, columnQuads: 2, tileK: 16, buffers: 2 }, "f16")).toBe(12288);
  });

  test("quads need every cut at a multiple of four", () => {
    expect(inQuads(8, [{ first: 0, count: 8 }])).toBe(true);
    expect(inQuads(10, [{ first: 0, count: 10 }])).toBe(false);
    expect(inQuads(8, [{ first: 0, count: 6 }, { first: 6, count: 2 }])).toBe(false); // prettier-ignore
  });
});
