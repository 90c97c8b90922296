import { describe, expect, test } from "vitest";
import type { WeightTensor } from "../checkpoint.ts";
import type { Weight } from "./layout.ts";
import { piecesOf, type Piece } from "./weights.ts";

const COLUMNS = 6; // 12 bytes a row in bf16, 16 in memory

interface Part {
  name: string;
  rows: number;
  file?: string;
  offset?: number;
}

/** A weight of these matrices, cut into shards of so many rows. */
function weightOf(parts: readonly Part[], shardRows: readonly number[]): Weight {
  let row = 0;
  const placed = parts.map(({ name, rows, file = "a", offset = 0 }) => {
    const tensor: WeightTensor = {
      name,
      dtype: "BF16",
      shape: [rows, COLUMNS],
      file,
      offset,
      byteLength: rows * COLUMNS * 2,
    };
    const source = { tensor, rows, columns: COLUMNS, transposed: false, ranges: [{ start: 0, end: rows }] };
    const part = { source, first: row };
    row += rows;
    return part;
  });
  let first = 0;
  const shards = shardRows.map((count, i) => {
    const shard = { buffer: `shard ${i}`, first, count };
    first += count;
    return shard;
  });
  const key = parts.map(({ name }) => name).join(" + ");
  return { key, format: "bf16", columns: COLUMNS, rows: row, stride: 16, parts: placed, shards };
}

/** Which row of which file each row of each buffer gets. */
function rowsOf(pieces: readonly Piece[]): Record<string, string[]> {
  const buffers: Record<string, string[]> = {};
  for (const { file, position, rows, rowBytes, stride, buffer, offset } of pieces) {
    expect(offset % stride).toBe(0);
    for (let r = 0; r < rows; r++) {
      const list = (buffers[buffer] ??= []);
      const at = offset / stride + r;
      expect(list[at], "written twice").toBeUndefined();
      list[at] = `${file} ${position + r * rowBytes}`;
    }
  }
  return buffers;
}
const from = (file: string, offset: number, rows: number): string[] =>
  Array.from({ length: rows }, (_, r) => `${file} ${offset + r * COLUMNS * 2}`);

describe("piecesOf", () => {
  const stack = [
    { name: "q", rows: 5, offset: 1000 },
    { name: "k", rows: 2, offset: 200 },
    { name: "v", rows: 3, offset: 5000 },
  ];
  const all = [...from("a", 1000, 5), ...from("a", 200, 2), ...from("a", 5000, 3)];

  test("one matrix, one buffer: one read", () => {
    expect(piecesOf([weightOf([{ name: "o", rows: 7, offset: 64 }], [7])])).toEqual([
      { file: "a", position: 64, rows: 7, rowBytes: 12, stride: 16, buffer: "shard 0", offset: 0 },
    ]);
  });

  test("a stack: each matrix from its own place", () => {
    expect(rowsOf(piecesOf([weightOf(stack, [10])]))).toEqual({ "shard 0": all });
  });

  test.each([[[4, 6]], [[3, 3, 4]], [[1, 8, 1]], [[5, 5]], [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]])(
    "shards of %j rows, wherever their borders are",
    (shardRows) => {
      const found = rowsOf(piecesOf([weightOf(stack, shardRows)]));
      let first = 0;
      for (const [i, count] of shardRows.entries()) {
        expect(found[`shard ${i}`]).toEqual(all.slice(first, first + count));
        first += count;
      }
    },
  );

  test.each([16, 17, 40, 79, 80, 1000])("none takes more than a staging buffer of %i bytes", (staging) => {
    const pieces = piecesOf([weightOf(stack, [4, 6])], staging);
    for (const { rows, stride } of pieces) expect(rows * stride).toBeLessThanOrEqual(staging);
    expect(rowsOf(pieces)).toEqual({ "shard 0": all.slice(0, 4), "shard 1": all.slice(4) });
  });

  test("but for a single row", () => {
    const pieces = piecesOf([weightOf(stack, [10])], 10);
    expect(pieces.every(({ rows }) => rows === 1)).toBe(true);
    expect(rowsOf(pieces)).toEqual({ "shard 0": all });
  });

  test("the files are read one after the other, each from its begin to its end", () => {
    const pieces = piecesOf(
      [
        weightOf(stack, [4, 6]),
        weightOf(
          [
            { name: "gate", rows: 4, file: "b", offset: 48 },
            { name: "up", rows: 4, file: "a", offset: 3000 },
          ],
          [8],
        ),
        weightOf([{ name: "down", rows: 4, file: "b", offset: 0 }], [4]),
      ],
      32,
    );
    const places = pieces.map(({ file, position }) => [file, position] as const);
    expect(places).toEqual(places.toSorted(([a, i], [b, j]) => (a === b ? i - j : a < b ? -1 : 1)));
    expect(new Set(places.map(([file]) => file))).toEqual(new Set(["a", "b"]));
  });

  test("rows of f32 have four bytes a column", () => {
    const weight: Weight = { ...weightOf([{ name: "o", rows: 3 }], [3]), format: "f32", stride: 32 };
    expect(piecesOf([weight])).toMatchObject([{ rowBytes: 24, stride: 32, rows: 3 }]);
  });
});
