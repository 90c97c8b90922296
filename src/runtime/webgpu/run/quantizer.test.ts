import { describe, expect, test } from "vitest";
import { rowStride } from "../../../kernels/format.ts";
import type { WeightTensor } from "../../checkpoint/checkpoint.ts";
import type { Weight } from "../plan/layout.ts";
import { quantizedPiecesOf, quantizerSizes, type QuantizedPiece } from "./quantizer.ts";
import { piecesOf } from "./weights.ts";

const COLUMNS = 40;

/** A weight of these matrices, int4, cut into shards of so many rows. */
function weightOf(
  parts: readonly { name: string; rows: number; offset: number; transposed?: boolean }[],
  shardRows: readonly number[],
): Weight {
  let row = 0;
  const placed = parts.map(({ name, rows, offset, transposed = false }) => {
    const tensor: WeightTensor = {
      name,
      dtype: "BF16",
      shape: [rows, COLUMNS],
      file: "a",
      offset,
      byteLength: rows * COLUMNS * 2,
    };
    const ranges = [{ start: 0, end: rows }];
    const part = {
      source: { tensor, format: "bf16", rows, columns: COLUMNS, transposed, ranges } as const,
      first: row,
    };
    row += rows;
    return part;
  });
  let first = 0;
  const shards = shardRows.map((count, i) => {
    const shard = { buffer: `shard ${i}`, first, count };
    first += count;
    return shard;
  });
  const stride = rowStride({ format: "int4", columns: COLUMNS });
  return { key: "", format: "int4", columns: COLUMNS, rows: row, stride, parts: placed, shards };
}

const STACK = [
  { name: "q", rows: 50, offset: 9000 },
  { name: "k", rows: 20, offset: 1000 },
];
const ALL = [
  ...Array.from({ length: 50 }, (_, i) => `q ${i}`),
  ...Array.from({ length: 20 }, (_, i) => `k ${i}`),
];

/** Which row of which matrix each row of each buffer gets. */
function rowsOf(pieces: readonly QuantizedPiece[]): Record<string, string[]> {
  const buffers: Record<string, string[]> = {};
  for (const { source, range, rows, stride, buffer, offset } of pieces) {
    expect(range.end - range.start).toBe(rows);
    for (let r = 0; r < rows; r++) {
      const list = (buffers[buffer] ??= []);
      const at = offset / stride + r;
      expect(list[at], "written twice").toBeUndefined();
      list[at] = `${source.tensor.name} ${range.start + r}`;
    }
  }
  return buffers;
}

describe("pieces", () => {
  test.each([
    [{}, [70]],
    [{ pieceBytes: 500 }, [70]],
    [{ sourceBytes: 700 }, [30, 40]],
    [{ pieceBytes: 1 }, [1, 68, 1]], // a row each
  ])("%j: every row once, in shards of %j rows", (bounds, shardRows) => {
    const pieces = quantizedPiecesOf([weightOf(STACK, shardRows)], bounds);
    const found = rowsOf(pieces);
    let first = 0;
    for (const [i, count] of shardRows.entries()) {
      expect(found[`shard ${i}`]).toEqual(ALL.slice(first, first + count));
      first += count;
    }
    const { pieceBytes = Infinity, sourceBytes = Infinity }: { pieceBytes?: number; sourceBytes?: number } =
      bounds;
    for (const { rows, rowBytes, stride } of pieces) {
      expect(rows === 1 || (rows * stride <= pieceBytes && rows * rowBytes <= sourceBytes)).toBe(true);
    }
    // In the order of the file.
    expect(pieces.map(({ source }) => source.tensor.name).join("")).toMatch(/^k+q+$/);
  });

  test("weights that stay as they are stored are not among them, and the other way round", () => {
    const quantized = weightOf(STACK, [70]);
    const stored: Weight = { ...quantized, format: "bf16", stride: 80 };
    expect(quantizedPiecesOf([stored])).toEqual([]);
    expect(piecesOf([quantized])).toEqual([]);
    expect(piecesOf([stored])).toHaveLength(2);
  });
});

test("a thread's memory is that of its largest piece, but for rows that are read a window at a time", () => {
  const many = [{ name: "o", rows: 40_000, offset: 0 }];
  const sizesOf = (transposed: boolean) =>
    quantizerSizes(quantizedPiecesOf([weightOf([{ ...many[0], transposed }], [40_000])]));
  const [straight, transposed] = [sizesOf(false), sizesOf(true)];
  expect(straight).toMatchObject({ window: 2 ** 19, scratch: 320 });
  expect(transposed.window).toBeGreaterThan(2 ** 20);
  for (const { window, target, laid } of [straight, transposed]) {
    expect(window).toBeLessThanOrEqual(8 * 2 ** 20);
    expect(target).toBeLessThanOrEqual(2 ** 20);
    expect(laid).toBe(target);
  }
});
