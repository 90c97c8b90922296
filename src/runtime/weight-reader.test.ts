import { describe, expect, it } from "vitest";
import { temporaryFile } from "../../test/support/model-files.ts";
import { AbortError } from "./errors.ts";
import { openFile, type OpenFile } from "./platform/files.ts";
import { bytesPerElement, type CheckpointDType, type TensorLocation } from "./tensor-location.ts";
import { readTensorRows, type RowRange, type WeightTransform } from "./weight-reader.ts";

/** Odd, so that nothing in the file is aligned. */
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

/** The definition, element by element. */
function naive({ tensor, data }: Stored, rows: RowRange, transform: WeightTransform): Uint8Array {
  const [first = 1, second = 1] = tensor.shape;
  const size = bytesPerElement(tensor.dtype);
  const columns = transform.transpose ? first : second;
  const count = rows.end - rows.start;
  const out = new Uint8Array(count * columns * size);
  for (let r = 0; r < count; r++) {
    for (let c = 0; c < columns; c++) {
      const source = transform.transpose ? c * second + rows.start + r : (rows.start + r) * second + c;
      const target = r * columns + c;
      for (let b = 0; b < size; b++) out[target * size + b] = data[source * size + b]!;
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
            // One element, a few odd elements (rows are cut), some rows, everything.
            for (const windowBytes of [8, 72, 4001, 2 ** 22]) {
              const expected = naive(stored, rows, transform);
              // Filled with junk: nothing beside the target may be written.
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
