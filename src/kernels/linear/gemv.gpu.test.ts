import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { activationBound, ACTIVATIONS } from "../../../test/support/activations.ts";
import { cacheBuffer, readHalves } from "../../../test/support/gpu-cache.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { gpuWeights, randomGpuMatrix } from "../../../test/support/gpu-weights.ts";
import type { LaidMatrix } from "../../../test/support/quantized-rows.ts";
import {
  normalNumbers,
  product,
  randomMatrix,
  randomSource,
  UNIT_ROUNDOFF,
  worstError,
} from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import type { Activation } from "../activate/activation.ts";
import type { FormatName } from "../format.ts";
import {
  fitWorkgroup,
  gemvKernel,
  gemvParams,
  gemvWorkgroups,
  type GemvShape,
  type GemvVariant,
} from "./gemv.gpu.ts";

const MAX_ROWS = 16;
const EPSILON = 1e-5;
/** Sums of K products in some tree of additions: a few times the bound of one product's random walk. */
const FACTOR = 4;

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open();
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const VARIANTS: GemvVariant[] = [
  { subgroups: true, workgroup: 64, outputs: 4, tile: 1 },
  { subgroups: false, workgroup: 64, outputs: 4, tile: 1 },
  { subgroups: true, workgroup: 16, outputs: 4, tile: 4 }, // more sums than invocations
  { subgroups: false, workgroup: 16, outputs: 2, tile: 4 },
  { subgroups: false, workgroup: 128, outputs: 4, tile: 4 },
];
/** As many sums as hardware has. Of quantised weights it has fewer, and a GPU in software compiles for long what is written out. */
const WIDEST: GemvVariant = { subgroups: true, workgroup: 32, outputs: 8, tile: 4, unroll: 2 };

const PRODUCTS: [FormatName, number, number][] = [
  ["i8-row", 64, 7],
  ["i8-row", 523, 13],
  ["bf16", 64, 7],
  ["bf16", 1, 1],
  ["bf16", 523, 13],
  ["bf16", 2048, 6],
  ["f16", 72, 8],
  ["f16", 33, 5],
  ["f32", 64, 9],
  ["f32", 70, 3],
  ["int8", 1, 1],
  ["int8", 64, 7],
  ["int8", 80, 5],
  ["int8", 523, 13],
  ["int4", 1, 1],
  ["int4", 64, 7],
  ["int4", 96, 5],
  ["int4", 523, 13],
  ["int4", 2048, 6],
];
const FEW_PRODUCTS: [FormatName, number, number][] = [
  ["bf16", 523, 13],
  ["f32", 70, 3],
];

const shapeOf = (matrix: LaidMatrix, rest: Partial<GemvShape>): GemvShape => ({
  format: matrix.format,
  columns: matrix.columns,
  outputColumns: matrix.rows,
  norm: false,
  bias: false,
  epilogue: { kind: "store" },
  gather: false,
  maxRows: MAX_ROWS,
  ...rest,
});

/** x / sqrt(mean x² + ε) · gain in f64: what a folded norm makes of rows. */
function normalized(x: ArrayLike<number>, columns: number, gain: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (value, i) => {
    const row = i - (i % columns);
    let squares = 0;
    for (let c = 0; c < columns; c++) {
      squares += x[row + c] ** 2;
    }
    return (value / Math.sqrt(squares / columns + Math.fround(EPSILON))) * gain[i % columns];
  });
}

describe.each([...VARIANTS, WIDEST])(
  "subgroups $subgroups, $workgroup invocations, $outputs × $tile",
  (variant) => {
    test.each(variant === WIDEST ? FEW_PRODUCTS : PRODUCTS)(
      "%s, %i columns, %i rows: with bias, in two shards",
      async (format, columns, count) => {
        const random = randomSource(columns + count);
        const matrix = randomGpuMatrix(format, count, columns, random, true);
        const rows = variant.tile === 1 ? 2 : 6;
        const x = normalNumbers(rows * columns, random);
        const bias = normalNumbers(count, random);
        const output = lab.buffer(rows * count);
        const spec = gemvKernel(shapeOf(matrix, { bias: true }), variant);
        const vectors = lab.buffer(Float32Array.of(0, 0, 0, 0, ...bias, 0, 0, 0));
        const rowsBuffer = lab.buffer(
          rowWords(MAX_ROWS, { positions: Array.from({ length: rows }, () => 0) }),
        );
        const laid = gpuWeights(matrix);
        const cut = Math.ceil(count / 2);
        for (const [first, end] of [
          [0, cut],
          [cut, count],
        ]) {
          if (first === end) {
            continue;
          }
          const shard = laid.subarray((first * laid.length) / count, (end * laid.length) / count);
          await lab.run(
            spec,
            [
              lab.buffer(x),
              vectors,
              lab.buffer(shard),
              output,
              rowsBuffer,
              lab.uniform(gemvParams({ gain: 0, bias: 4, epsilon: 0, first, count: end - first })),
            ],
            gemvWorkgroups(end - first, rows, variant, 2), // spills into z
          );
        }
        const { values, bound } = product(x, matrix);
        const { ratio, text } = worstError(
          await lab.read(output),
          values.map((value, i) => value + bias[i % count]),
          (i) => FACTOR * (bound[i] + UNIT_ROUNDOFF * Math.abs(bias[i % count])),
        );
        expect(ratio, text).toBeLessThanOrEqual(1);
      },
    );

    test("adds to the output, reads the rows whose logits are wanted", async () => {
      const random = randomSource(5);
      const matrix = randomMatrix("bf16", 10, 96, random);
      const x = normalNumbers(5 * 96, random);
      const before = normalNumbers(2 * 10, random);
      const output = lab.buffer(before);
      await lab.run(
        gemvKernel(shapeOf(matrix, { gather: true, epilogue: { kind: "add" } }), variant),
        [
          lab.buffer(x),
          lab.buffer(4),
          lab.buffer(gpuWeights(matrix)),
          output,
          lab.buffer(rowWords(MAX_ROWS, { positions: [0, 1, 2, 3, 4], logitRows: [4, 1] })),
          lab.uniform(gemvParams({ gain: 0, bias: 0, epsilon: 0, first: 0, count: 10 })),
        ],
        gemvWorkgroups(10, 2, variant, 65535),
      );
      const chosen = Float32Array.of(...x.subarray(4 * 96), ...x.subarray(96, 2 * 96));
      const { values, bound } = product(chosen, matrix);
      const { ratio, text } = worstError(
        await lab.read(output),
        values.map((value, i) => value + before[i]),
        (i) => FACTOR * (bound[i] + UNIT_ROUNDOFF * Math.abs(before[i])),
      );
      expect(ratio, text).toBeLessThanOrEqual(1);
    });

    const gated = [
      ["bf16", 88, false, "silu"],
      ["bf16", 88, true, "gelu_tanh"],
      ["int8", 96, true, "silu"],
      ["int4", 96, true, "silu"],
      ["int4", 88, true, "silu"],
    ] as const;
    test.each(variant === WIDEST ? gated.slice(0, 1) : gated)(
      "norm and gate folded in, %s, %i columns, bias %s, %s",
      async (format, columns, bias, activation) => {
        const random = randomSource(6);
        const [inner, rows] = [21, 3];
        const matrix = randomGpuMatrix(format, 2 * inner, columns, random);
        const x = normalNumbers(rows * columns, random, 5);
        const gain = normalNumbers(columns, random);
        const biases = normalNumbers(2 * inner, random).map((b) => (bias ? b : 0));
        const output = lab.buffer(rows * inner);
        await lab.run(
          gemvKernel(
            shapeOf(matrix, {
              norm: true,
              bias,
              outputColumns: inner,
              epilogue: { kind: "gate", activation },
            }),
            variant,
          ),
          [
            lab.buffer(x),
            lab.buffer(Float32Array.of(...gain, ...biases, 0, 0)),
            lab.buffer(gpuWeights(matrix)),
            output,
            lab.buffer(rowWords(MAX_ROWS, { positions: [0, 1, 2] })),
            lab.uniform(gemvParams({ gain: 0, bias: columns, epsilon: EPSILON, first: 0, count: 2 * inner })),
          ],
          gemvWorkgroups(2 * inner, rows, variant, 65535),
        );
        const { values, bound } = product(normalized(x, columns, gain), matrix);
        const expected: number[] = [];
        const allowed: number[] = [];
        for (let r = 0; r < rows; r++) {
          for (let n = 0; n < inner; n++) {
            const at = r * 2 * inner + n;
            const g = values[at] + biases[n];
            const u = values[at + inner] + biases[inner + n];
            const activated = ACTIVATIONS[activation].exact(g);
            expected.push(activated * u);
            // Neither is steeper than 1.2.
            allowed.push(
              FACTOR * (1.2 * bound[at] * Math.abs(u) + Math.abs(activated) * bound[at + inner]) +
                activationBound(activation, g) * Math.abs(u) +
                4 * UNIT_ROUNDOFF * Math.abs(activated * u),
            );
          }
        }
        const { ratio, text } = worstError(await lab.read(output), expected, (i) => allowed[i]);
        expect(ratio, text).toBeLessThanOrEqual(1);
      },
    );
  },
);

test.each([
  ["gelu", VARIANTS[0]],
  ["relu", VARIANTS[3]],
] as [Activation, GemvVariant][])("%s of the product with bias, %o", async (activation, variant) => {
  const random = randomSource(8);
  const [columns, count] = [40, 11];
  const matrix = randomMatrix("bf16", count, columns, random);
  const x = normalNumbers(3 * columns, random);
  const bias = normalNumbers(count, random);
  const output = lab.buffer(3 * count);
  await lab.run(
    gemvKernel(shapeOf(matrix, { bias: true, epilogue: { kind: "store", activation } }), variant),
    [
      lab.buffer(x),
      lab.buffer(Float32Array.of(...bias, 0)),
      lab.buffer(gpuWeights(matrix)),
      output,
      lab.buffer(rowWords(MAX_ROWS, { positions: [0, 1, 2] })),
      lab.uniform(gemvParams({ gain: 0, bias: 0, epsilon: 0, first: 0, count })),
    ],
    gemvWorkgroups(count, 3, variant, 65535),
  );
  const { values, bound } = product(x, matrix);
  const sums = values.map((value, i) => value + bias[i % count]);
  const { ratio, text } = worstError(
    await lab.read(output),
    sums.map(ACTIVATIONS[activation].exact),
    // No activation is steeper than 1.2.
    (i) =>
      1.2 * FACTOR * (bound[i] + UNIT_ROUNDOFF * Math.abs(bias[i % count])) +
      activationBound(activation, sums[i]),
  );
  expect(ratio, text).toBeLessThanOrEqual(1);
});

test.each([VARIANTS[0], VARIANTS[3]])("a soft cap of what is stored, %o", async (variant) => {
  const random = randomSource(9);
  const [columns, count, cap] = [40, 11, 3];
  const matrix = randomMatrix("bf16", count, columns, random);
  const x = normalNumbers(3 * columns, random);
  const output = lab.buffer(3 * count);
  await lab.run(
    gemvKernel(shapeOf(matrix, { epilogue: { kind: "store", isCapped: true } }), variant),
    [
      lab.buffer(x),
      lab.buffer(4),
      lab.buffer(gpuWeights(matrix)),
      output,
      lab.buffer(rowWords(MAX_ROWS, { positions: [0, 1, 2] })),
      lab.uniform(gemvParams({ gain: 0, bias: 0, epsilon: 0, first: 0, count, cap })),
    ],
    gemvWorkgroups(count, 3, variant, 65535),
  );
  const { values, bound } = product(x, matrix);
  expect(values.some((value) => Math.abs(value) > 2 * cap)).toBe(true);
  const expected = values.map((value) => cap * Math.tanh(value / cap));
  const { ratio, text } = worstError(
    await lab.read(output),
    expected,
    // Quotient and product, and what is under it: exp, a quotient and four more roundings.
    (i) => FACTOR * bound[i] + 24 * UNIT_ROUNDOFF * Math.abs(expected[i]),
  );
  expect(ratio, text).toBeLessThanOrEqual(1);
});

/** Partial rotation changes which rows a workgroup takes, not how: two variants tell. */
const ROTATIONS = [...VARIANTS, WIDEST].flatMap((variant, i) =>
  (i === 0 || i === 2 ? [6, 0, 2] : [6, 0]).flatMap((rotary) => [
    [rotary, "f32", variant] as const,
    ...(i === 0 ? [[rotary, "f16", variant] as const] : []),
  ]),
);
test.each(ROTATIONS)(
  "queries, keys and values: %i of 6 rotated, appended to the cache of %s, %o",
  async (rotary, format, variant) => {
    const random = randomSource(7);
    const [columns, heads, kvHeads, headDim, context, slots] = [64, 3, 1, 6, 10, 3];
    const count = (heads + 2 * kvHeads) * headDim;
    const matrix = randomMatrix("f16", count, columns, random);
    const rows = { slots: [2, 0, 1], positions: [9, 4, 0] };
    const x = normalNumbers(3 * columns, random);
    const gain = normalNumbers(columns, random);
    const bias = normalNumbers(count, random);
    const angles = normalNumbers((context * rotary) / 2, random, 3);
    const query = lab.buffer(3 * heads * headDim);
    const size = slots * context * kvHeads * headDim;
    const keys = cacheBuffer(lab, new Float32Array(size).fill(7), format);
    const values = cacheBuffer(lab, new Float32Array(size).fill(8), format);
    const cache = { kvHeads, headDim, context, rotary, cache: format };
    const epilogue = { kind: "qkv", heads, keyHeads: kvHeads, valueHeads: kvHeads, ...cache } as const;
    const outputColumns = heads * headDim;
    await lab.run(
      gemvKernel(shapeOf(matrix, { norm: true, bias: true, outputColumns, epilogue }), variant),
      [
        lab.buffer(x),
        lab.buffer(Float32Array.of(...gain, ...bias, 0, 0)),
        lab.buffer(gpuWeights(matrix)),
        query,
        lab.buffer(rowWords(MAX_ROWS, rows)),
        keys,
        values,
        ...(rotary > 0
          ? [lab.buffer(Float32Array.from([...angles].flatMap((a) => [Math.cos(a), Math.sin(a)])))]
          : []),
        lab.uniform(gemvParams({ gain: 0, bias: columns, epsilon: EPSILON, first: 0, count })),
      ],
      gemvWorkgroups(count, 3, variant, 65535),
    );
    const { values: products, bound } = product(normalized(x, columns, gain), matrix);
    const all = products.map((value, i) => value + bias[i % count]);
    const rotated = (r: number, head: number, i: number): number => {
      const at = r * count + head * headDim;
      if (i >= rotary || head >= heads + kvHeads) {
        return all[at + i];
      }
      const half = rotary / 2;
      const angle = angles[rows.positions[r] * half + (i % half)];
      const [a, b] = [all[at + (i % half)], all[at + (i % half) + half]];
      return i < half ? a * Math.cos(angle) - b * Math.sin(angle) : b * Math.cos(angle) + a * Math.sin(angle);
    };
    const largest = Math.max(...bound) + 8 * UNIT_ROUNDOFF;
    const expectedKeys = new Float64Array(size).fill(7);
    const expectedValues = new Float64Array(expectedKeys.length).fill(8);
    const expectedQuery = new Float64Array(3 * heads * headDim);
    for (let r = 0; r < 3; r++) {
      for (let i = 0; i < headDim; i++) {
        for (let h = 0; h < heads; h++) {
          expectedQuery[(r * heads + h) * headDim + i] = rotated(r, h, i);
        }
        for (let h = 0; h < kvHeads; h++) {
          const cell = ((rows.slots[r] * context + rows.positions[r]) * kvHeads + h) * headDim + i;
          expectedKeys[cell] = rotated(r, heads + h, i);
          expectedValues[cell] = rotated(r, heads + kvHeads + h, i);
        }
      }
    }
    for (const [buffer, expected, untouched] of [
      [query, expectedQuery, NaN],
      [keys, expectedKeys, 7],
      [values, expectedValues, 8],
    ] as const) {
      const isHalf = format === "f16" && buffer !== query;
      const found = isHalf ? await readHalves(lab, buffer, size) : await lab.read(buffer);
      const { ratio, text } = worstError(found, expected, (i) =>
        expected[i] === untouched
          ? 0
          : 2 * FACTOR * largest + (isHalf ? 2 ** -11 * Math.abs(expected[i]) + 2 ** -25 : 0),
      );
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  },
);

/** Chunks of 16 bytes: turns are whole with 24, and end within a row with 25 and 37; 3 are less than a turn has. */
test.each<[FormatName, number]>([
  ["bf16", 24],
  ["bf16", 25],
  ["f32", 37],
  ["f16", 3],
  ["int8", 37],
  ["int4", 25],
])("several chunks a turn: %s, %i chunks", async (format, chunks) => {
  const perChunk = { f32: 4, bf16: 8, f16: 8, "i8-row": 16, int8: 16, int4: 32 }[format];
  const matrix = randomGpuMatrix(format, 10, chunks * perChunk, randomSource(3 + chunks));
  const rows = 2;
  const x = normalNumbers(rows * matrix.columns, randomSource(5));
  const results: Float32Array[] = [];
  for (const [unroll, tile] of [
    [2, 1],
    [3, 1],
    [3, 2],
    [1, 1],
  ] as const) {
    const variant: GemvVariant = { subgroups: true, workgroup: 4, outputs: 2, tile, unroll };
    const output = lab.buffer(rows * matrix.rows);
    await lab.run(
      gemvKernel(shapeOf(matrix, {}), variant),
      [
        lab.buffer(x),
        lab.buffer(4),
        lab.buffer(gpuWeights(matrix)),
        output,
        lab.buffer(rowWords(MAX_ROWS, { positions: [0, 1] })),
        lab.uniform(gemvParams({ gain: 0, bias: 0, epsilon: EPSILON, first: 0, count: matrix.rows })),
      ],
      gemvWorkgroups(matrix.rows, rows, variant, 65535),
    );
    results.push(await lab.read(output));
  }
  const { values, bound } = product(x, matrix);
  const { ratio, text } = worstError(results[0], values, (i) => FACTOR * bound[i]);
  expect(ratio, text).toBeLessThanOrEqual(1);
  // Chunks are added up in the same order however many an invocation has on their way.
  for (const result of results.slice(1)) {
    expect(result).toEqual(results[0]);
  }
});

test("a workgroup has no invocations that a row has no chunks for", () => {
  const variant: GemvVariant = { subgroups: true, workgroup: 128, outputs: 4, tile: 1 };
  const workgroup = (format: FormatName, columns: number, tile = 1): number =>
    fitWorkgroup({ ...variant, tile }, { format, columns }).workgroup;
  expect(workgroup("int4", 2048)).toBe(64);
  expect(workgroup("int4", 2080)).toBe(128);
  expect(workgroup("int8", 2048)).toBe(128);
  expect(workgroup("int4", 64)).toBe(32);
  expect(workgroup("int4", 64, 16)).toBe(64);
  expect(fitWorkgroup({ ...variant, workgroup: 16 }, { format: "int4", columns: 64 }).workgroup).toBe(16);
});
