import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { gpuWeights } from "../../../test/support/gpu-weights.ts";
import { randomMatrix, randomSource, type Format } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { embedKernel, embedParams } from "./embed.gpu.ts";

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

test.each([
  ["bf16", 300],
  ["bf16", 7],
  ["f16", 64],
  ["f16", 5],
  ["f32", 9],
] as [Format, number][])("%s, %i columns: exact, from two shards", async (format, columns) => {
  const random = randomSource(columns);
  const [count, cut, maxRows] = [11, 4, 8];
  const table = randomMatrix(format, count, columns, random, true);
  const tokens = [10, 0, 4, 3, 4];
  const output = lab.buffer(tokens.length * columns);
  const rows = lab.buffer(rowWords(maxRows, { tokens, positions: tokens }));
  const laid = gpuWeights(table);
  for (const [first, end] of [
    [0, cut],
    [cut, count],
  ]) {
    const shard = laid.subarray((first * laid.length) / count, (end * laid.length) / count);
    await lab.run(
      embedKernel({ format, columns }, maxRows),
      [rows, lab.buffer(shard), output, lab.uniform(embedParams(first, end - first))],
      [tokens.length],
    );
  }
  const expected = tokens.flatMap((token) => [...table.values.slice(token * columns, (token + 1) * columns)]);
  expect(await lab.read(output)).toEqual(Float32Array.from(expected));
});
