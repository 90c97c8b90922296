import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { gpuWeights, randomGpuMatrix } from "../../../test/support/gpu-weights.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import type { FormatName } from "../format.ts";
import { embedKernel, embedParams, positionsKernel, positionsParams } from "./embed.gpu.ts";

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

const MAX_ROWS = 8;
const TOKENS = [10, 0, 4, 3, 4];
const POSITIONS = [2, 6, 0, 1, 5];
const COUNT = 11;
/** First row of the second shard. */
const CUT = 4;
const OFFSET = 2;

const SHAPES = [
  ["i8-row", 300],
  ["i8-row", 7],
  ["bf16", 300],
  ["bf16", 7],
  ["f16", 64],
  ["f16", 5],
  ["f32", 9],
  ["int8", 300],
  ["int8", 7],
  ["int4", 300],
  ["int4", 65],
  ["int4", 7],
] as [FormatName, number][];

const rowsBuffer = () => lab.buffer(rowWords(MAX_ROWS, { tokens: TOKENS, positions: POSITIONS }));

/** A table in two shards: [first row, rows, words]. */
function shardsOf(laid: Uint8Array): [number, number, Uint8Array][] {
  return [
    [0, CUT],
    [CUT, COUNT],
  ].map(([first, end]) => [
    first,
    end - first,
    laid.subarray((first * laid.length) / COUNT, (end * laid.length) / COUNT),
  ]);
}
const rowOf = (values: Float64Array, row: number): number[] => [
  ...values.subarray((row * values.length) / COUNT, ((row + 1) * values.length) / COUNT),
];

test.each(SHAPES)("%s, %i columns: exact, from two shards", async (format, columns) => {
  const table = randomGpuMatrix(format, COUNT, columns, randomSource(columns), true);
  const output = lab.buffer(TOKENS.length * columns);
  const rows = rowsBuffer();
  for (const [first, count, shard] of shardsOf(gpuWeights(table))) {
    await lab.run(
      embedKernel({ format, columns }, MAX_ROWS, false),
      [rows, lab.buffer(shard), output, lab.uniform(embedParams({ first, count, scale: 1, offset: 0 }))],
      [TOKENS.length],
    );
  }
  const expected = TOKENS.flatMap((token) => rowOf(table.values, token));
  expect(await lab.read(output)).toEqual(Float32Array.from(expected));
});

test.each(SHAPES)("%s, %i columns: scaled, and learned positions added", async (format, columns) => {
  const random = randomSource(columns);
  const table = randomGpuMatrix(format, COUNT, columns, random);
  const learned = randomGpuMatrix(format, COUNT, columns, random);
  const scale = Math.fround(Math.sqrt(columns));
  const output = lab.buffer(TOKENS.length * columns);
  const rows = rowsBuffer();
  for (const [first, count, shard] of shardsOf(gpuWeights(table))) {
    await lab.run(
      embedKernel({ format, columns }, MAX_ROWS, true),
      [
        rows,
        lab.buffer(shard),
        output,
        lab.buffer(gpuWeights(learned)),
        lab.uniform(embedParams({ first, count, scale, offset: OFFSET })),
      ],
      [TOKENS.length],
    );
  }
  const scaled = TOKENS.flatMap((token) => rowOf(table.values, token).map((value) => value * scale));
  const added = POSITIONS.flatMap((position) => rowOf(learned.values, position + OFFSET));
  const { ratio, text } = worstError(
    await lab.read(output),
    scaled.map((value, i) => value + added[i]),
    (i) => UNIT_ROUNDOFF * (2 * Math.abs(scaled[i]) + Math.abs(added[i])),
  );
  expect(ratio, text).toBeLessThanOrEqual(1);
});

test.each(SHAPES)(
  "%s, %i columns: learned positions by themselves, from two shards",
  async (format, columns) => {
    const random = randomSource(columns);
    const learned = randomGpuMatrix(format, COUNT, columns, random);
    const before = normalNumbers(TOKENS.length * columns, random);
    const output = lab.buffer(before);
    const rows = rowsBuffer();
    for (const [first, count, shard] of shardsOf(gpuWeights(learned))) {
      await lab.run(
        positionsKernel({ format, columns }, MAX_ROWS),
        [rows, lab.buffer(shard), output, lab.uniform(positionsParams({ first, count, offset: OFFSET }))],
        [TOKENS.length],
      );
    }
    const added = POSITIONS.flatMap((position) => rowOf(learned.values, position + OFFSET));
    // One addition, correctly rounded.
    expect(await lab.read(output)).toEqual(before.map((value, i) => value + added[i]));
  },
);
