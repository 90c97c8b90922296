import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { temporaryFile } from "../../../test/support/model-files.ts";
import { tensorBytesByDefinition } from "../../../test/support/tensor-bytes.ts";
import { AbortError } from "../../base/errors.ts";
import { openFile, type OpenFile } from "../platform/files.ts";
import { bytesPerElement, type CheckpointDType, type TensorLocation } from "./tensor-location.ts";
import type { RowRange } from "../program.ts";
import { readTensorRows, type WeightTransform } from "./weight-reader.ts";

/** Where tensors begin in the file: an odd byte, so that nothing in it is aligned. */
const OFFSET = 13;

interface Stored {
  tensor: TensorLocation;
  data: Uint8Array;
  file: OpenFile;
}

function store(dtype: CheckpointDType, shape: readonly number[]): Stored {
  const byteLength = shape.reduce((a, b) => a * b, bytesPerElement(dtype));
  // Every byte pattern occurs, signalling NaNs included: moving elements must not change one.
  const data = Uint8Array.from({ length: byteLength }, (_, i) => (i * 197 + (i >> 8) * 31 + 255) & 255);
  const bytes = new Uint8Array(OFFSET + byteLength + 5);
  bytes.set(data, OFFSET);
  const path = temporaryFile("weights", bytes);
  return {
    tensor: { name: "w", dtype, shape, file: path, offset: OFFSET, byteLength },
    data,
    file: openFile(path),
  };
}

/** What reading rows means, by its definition, element by element. */
function naive(
  { tensor, data }: Pick<Stored, "tensor" | "data">,
  rows: RowRange,
  transform: WeightTransform,
): Uint8Array {
  const [first = 1, second = 1] = tensor.shape;
  const size = bytesPerElement(tensor.dtype);
  const columns = transform.transpose ? first : second;
  const count = rows.end - rows.start;
  const out = new Uint8Array(count * columns * size);
  for (let r = 0; r < count; r++) {
    for (let c = 0; c < columns; c++) {
      const source = transform.transpose ? c * second + rows.start + r : (rows.start + r) * second + c;
      const target = r * columns + c;
      for (let b = 0; b < size; b++) {
        out[target * size + b] = data[source * size + b]!;
      }
    }
  }
  return out;
}

const transforms: WeightTransform[] = [{}, { transpose: true }];

describe("readTensorRows", () => {
  it.each<CheckpointDType>(["F8_E4M3", "BF16", "F32", "F64"])(
    "equals the definition for every transform, odd shape, range and window (%s)",
    (dtype) => {
      for (const shape of [[1, 1], [3, 7], [13, 5], [1, 301], [301, 1], [29, 300], [17]]) {
        const stored = store(dtype, shape);
        for (const transform of transforms) {
          const extent = (transform.transpose ? shape[1] : shape[0]) ?? 1;
          const ranges = [
            { start: 0, end: extent },
            { start: Math.floor(extent / 3), end: Math.ceil((2 * extent) / 3) },
            { start: extent, end: extent },
          ];
          for (const rows of ranges) {
            // The windows hold one element, a few odd elements (rows are cut), some rows, everything.
            for (const windowBytes of [8, 72, 4001, 2 ** 22]) {
              const expected = naive(stored, rows, transform);
              // The memory is filled with junk: nothing beside the target may be written.
              const memory = new Uint8Array(new SharedArrayBuffer(expected.length + 32)).fill(0xee);
              const target = memory.subarray(16, 16 + expected.length);
              readTensorRows(stored.file, stored.tensor, rows, target, { transform, windowBytes });
              const what = JSON.stringify({ shape, transform, rows, windowBytes });
              expect(Buffer.compare(target, expected), what).toBe(0);
              expect(
                memory.subarray(0, 16).every((byte) => byte === 0xee),
                what,
              ).toBe(true);
              expect(
                memory.subarray(16 + expected.length).every((byte) => byte === 0xee),
                what,
              ).toBe(true);
            }
          }
        }
        stored.file.close();
      }
    },
  );

  it.each(transforms)("reads each byte once, in reads within the window (%j)", (transform) => {
    const stored = store("BF16", [37, 53]);
    const rows = { start: 3, end: 30 };
    const counts: number[] = [];
    const target = new Uint8Array(27 * (transform.transpose ? 37 : 53) * 2);
    readTensorRows(stored.file, stored.tensor, rows, target, {
      transform,
      windowBytes: 500,
      onBytes: (count) => counts.push(count),
    });
    const columns = transform.transpose ? 37 : 53;
    expect(counts.reduce((a, b) => a + b, 0)).toBe(27 * columns * 2);
    expect(Math.max(...counts)).toBeLessThanOrEqual(500);
    expect(counts.length).toBeGreaterThan(1);
    stored.file.close();
  });

  it("reads identity straight into the target", () => {
    const stored = store("BF16", [100, 10]);
    const target = new Uint8Array(2000);
    const buffers = new Set<ArrayBufferLike>();
    const file: OpenFile = {
      ...stored.file,
      read: (part, position) => {
        buffers.add(part.buffer);
        stored.file.read(part, position);
      },
    };
    readTensorRows(file, stored.tensor, { start: 0, end: 100 }, target, { windowBytes: 64 });
    expect([...buffers]).toEqual([target.buffer]);
    stored.file.close();
  });

  it.each(transforms)("stops before the next read when told to (%j)", (transform) => {
    const stored = store("F32", [20, 20]);
    const target = new Uint8Array(20 * 20 * 4);
    let reads = 0;
    expect(() =>
      readTensorRows(stored.file, stored.tensor, { start: 0, end: 20 }, target, {
        transform,
        windowBytes: 160,
        onBytes: () => (reads += 1),
        shouldStop: () => reads === 2,
      }),
    ).toThrow(AbortError);
    expect(reads).toBe(2);
    stored.file.close();
  });

  it("refuses what does not fit, by name", () => {
    const stored = store("F32", [4, 6]);
    const { file, tensor } = stored;
    const all = { start: 0, end: 4 };
    const call =
      (rows: RowRange, bytes: number, transform: WeightTransform = {}, windowBytes?: number) =>
      () =>
        readTensorRows(file, tensor, rows, new Uint8Array(bytes), { transform, windowBytes });
    expect(call({ start: 0, end: 5 }, 120)).toThrow(
      'tensor "w": rows [0, 5) were asked for; expected a range within [0, 4)',
    );
    expect(call({ start: 0, end: 5 }, 80, { transpose: true })).not.toThrow();
    expect(call({ start: 3, end: 2 }, 0)).toThrow("rows [3, 2)");
    expect(call({ start: -1, end: 2 }, 72)).toThrow("rows [-1, 2)");
    expect(call(all, 95)).toThrow("the target has 95 bytes; expected 96");
    expect(call(all, 96, {}, 3)).toThrow("windowBytes is 3");
    const unaligned = new Uint8Array(new ArrayBuffer(98), 2, 96);
    expect(() =>
      readTensorRows(file, tensor, { start: 0, end: 6 }, unaligned, { transform: { transpose: true } }),
    ).toThrow("begins at byte 2; expected a multiple of 4");
    expect(() => readTensorRows(file, { ...tensor, shape: [2, 2, 6] }, all, new Uint8Array(96))).toThrow(
      "rows are read of one or two dimensions",
    );
    expect(() =>
      readTensorRows(file, { ...tensor, shape: [400, 6] }, { start: 0, end: 400 }, new Uint8Array(9600)),
    ).toThrow("ended before byte");
    file.close();
  });
});

/** A tensor with strides over a file of `elements` junk elements, the first `start` of which it leaves out. */
function storeStrided(
  dtype: CheckpointDType,
  elements: number,
  view: { start: number; shape: readonly number[]; strides: readonly number[] },
): Stored {
  const { tensor, data, file } = store(dtype, [elements]);
  const { start, shape, strides } = view;
  const size = bytesPerElement(dtype);
  const byteLength = shape.reduce((a, b) => a * b, size);
  return { tensor: { ...tensor, offset: OFFSET + start * size, shape, strides, byteLength }, data, file };
}

describe("readTensorRows of a tensor with strides", () => {
  const cases = fc.record({
    dtype: fc.constantFrom<CheckpointDType>("F8_E4M3", "BF16", "F32", "F64"),
    shape: fc.tuple(fc.integer({ min: 1, max: 23 }), fc.integer({ min: 1, max: 23 })),
    strides: fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 })),
    start: fc.integer({ min: 0, max: 9 }),
    transpose: fc.boolean(),
    cut: fc.tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 23 })),
    windowBytes: fc.constantFrom(8, 72, 1001, 2 ** 22),
  });

  it("equals the definition for any strides, range and window, in both directions", () => {
    fc.assert(
      fc.property(cases, ({ dtype, shape, strides, start, transpose, cut, windowBytes }) => {
        const stored = storeStrided(dtype, 2000, { start, shape, strides });
        const { tensor, file } = stored;
        const extent = shape[transpose ? 1 : 0];
        const [from, to] = cut.map((at) => Math.min(at, extent)).sort((a, b) => a - b);
        const rows = { start: from, end: to };
        const expected = naive({ tensor, data: tensorBytesByDefinition(tensor) }, rows, { transpose });
        const memory = new Uint8Array(new SharedArrayBuffer(expected.length + 32)).fill(0xee);
        const target = memory.subarray(16, 16 + expected.length);
        let wanted = 0;
        let largest = 0;
        const counting: OpenFile = {
          ...file,
          read: (part, position) => {
            largest = Math.max(largest, part.byteLength);
            file.read(part, position);
          },
        };
        const transform = { transpose };
        const onBytes = (count: number): void => void (wanted += count);
        readTensorRows(counting, tensor, rows, target, { transform, windowBytes, onBytes });
        expect(Buffer.compare(target, expected)).toBe(0);
        expect(wanted).toBe(expected.length);
        expect(largest).toBeLessThanOrEqual(windowBytes);
        expect(
          [...memory.subarray(0, 16), ...memory.subarray(16 + expected.length)].every((b) => b === 0xee),
        ).toBe(true);
        file.close();
      }),
      { numRuns: 250 },
    );
  });

  /** The reads of a call, and whether all went straight to the target. */
  function readsOf(stored: Stored, transform: WeightTransform, windowBytes?: number) {
    const { tensor, file } = stored;
    const [first = 1, second = 1] = tensor.shape;
    const target = new Uint8Array(tensor.byteLength);
    const sizes: number[] = [];
    let isStraight = true;
    const watched: OpenFile = {
      ...file,
      read: (part, position) => {
        sizes.push(part.byteLength);
        isStraight &&= part.buffer === target.buffer;
        file.read(part, position);
      },
    };
    const rows = { start: 0, end: transform.transpose ? second : first };
    readTensorRows(watched, tensor, rows, target, { transform, windowBytes });
    file.close();
    return { sizes, isStraight };
  }

  it("reads straight where the strides and the transform cancel out", () => {
    const stored = storeStrided("F32", 600, { start: 0, shape: [20, 30], strides: [1, 20] });
    expect(readsOf(stored, { transpose: true })).toEqual({ sizes: [2400], isStraight: true });
  });

  it("transposes with one read for a window where the file holds the matrix transposed", () => {
    const stored = storeStrided("F32", 600, { start: 0, shape: [20, 30], strides: [1, 20] });
    expect(readsOf(stored, {})).toEqual({ sizes: [2400], isStraight: false });
  });

  it("reads near columns together and far ones alone, an expanded one once", () => {
    const near = storeStrided("F32", 600, { start: 0, shape: [20, 3], strides: [30, 1] });
    expect(readsOf(near, {}).sizes).toEqual([(19 * 30 + 3) * 4]);
    const far = storeStrided("F32", 20_000, { start: 0, shape: [4, 3], strides: [5000, 1] });
    expect(readsOf(far, {}).sizes).toEqual([12, 12, 12, 12]);
    const expanded = storeStrided("F32", 1, { start: 0, shape: [1000, 500], strides: [0, 0] });
    expect(readsOf(expanded, {}).sizes).toEqual([4]);
    const row = storeStrided("F32", 50, { start: 0, shape: [1000, 50], strides: [0, 1] });
    expect(readsOf(row, {}).sizes).toEqual([200]);
  });

  it("reads a vector with a stride", () => {
    const { tensor, file } = storeStrided("F32", 100, { start: 3, shape: [9], strides: [11] });
    const target = new Uint8Array(36);
    readTensorRows(file, tensor, { start: 0, end: 9 }, target);
    expect(Buffer.compare(target, tensorBytesByDefinition(tensor))).toBe(0);
    const unaligned = new Uint8Array(new ArrayBuffer(38), 2, 36);
    expect(() => readTensorRows(file, tensor, { start: 0, end: 9 }, unaligned)).toThrow(
      "expected a multiple of 4",
    );
    file.close();
  });
});
