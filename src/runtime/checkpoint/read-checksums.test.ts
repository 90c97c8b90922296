/** Checksums of tensors that are read in parts, against zlib's of the whole. */
import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { OpenFile } from "../platform/files.ts";
import { compareChecksums, ReadChecksums, type PartialChecksums } from "./read-checksums.ts";
import type { TensorLocation } from "./tensor-location.ts";
import type { WeightSlice } from "./weight-source.ts";

const OFFSET = 64;

function fileOf(bytes: Uint8Array): OpenFile {
  return {
    path: "pytorch_model.bin",
    size: OFFSET + bytes.length,
    read: (target, position) => {
      target.set(bytes.subarray(position - OFFSET, position - OFFSET + target.length));
    },
    close: () => undefined,
  };
}

const tensorOf = (bytes: Uint8Array, checksum: number | undefined): TensorLocation & { dtype: "F32" } => ({
  name: "w",
  dtype: "F32",
  shape: [bytes.length / 4],
  file: "pytorch_model.bin",
  offset: OFFSET,
  byteLength: bytes.length,
  ...(checksum === undefined ? {} : { checksum }),
});

function sliceOf(tensor: ReturnType<typeof tensorOf>, start = 0, end = tensor.byteLength / 4): WeightSlice {
  return {
    tensor,
    format: "f32",
    rows: end - start,
    columns: 1,
    transposed: false,
    ranges: [{ start, end }],
  };
}

/** Reads the tensor's bytes [start, end) of each piece, in order. */
function partsOf(bytes: Uint8Array, tensor: TensorLocation, pieces: [number, number][]): PartialChecksums {
  const checksums = new ReadChecksums();
  for (const [start, end] of pieces) {
    const target = new Uint8Array(end - start);
    checksums.watch(fileOf(bytes), tensor).read(target, OFFSET + start);
    expect(target).toEqual(bytes.slice(start, end));
  }
  return checksums.parts();
}

test("parts in any order, on any number of threads, have the checksum of the whole", () => {
  const bytesOf = fc.uint8Array({ minLength: 4, maxLength: 400 }).map((all) => all.slice(0, all.length & ~3));
  const parameters = fc.record({
    bytes: bytesOf,
    cuts: fc.array(fc.nat(400), { maxLength: 12 }),
    order: fc.array(fc.nat(1000), { minLength: 14, maxLength: 14 }),
    threads: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(parameters, ({ bytes, cuts, order, threads }) => {
      const places = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])];
      places.sort((a, b) => a - b);
      const pieces = places.slice(1).map((end, i): [number, number] => [places[i], end]);
      const shuffled = pieces
        .map((piece, i) => ({ piece, at: order[i] }))
        .sort((a, b) => a.at - b.at)
        .map(({ piece }) => piece);
      const check = (checksum: number): void => {
        const tensor = tensorOf(bytes, checksum);
        const parts = Array.from({ length: threads }, (_, thread) =>
          partsOf(
            bytes,
            tensor,
            shuffled.filter((_piece, i) => i % threads === thread),
          ),
        );
        compareChecksums([sliceOf(tensor)], parts);
      };
      const right = crc32(bytes);
      expect(() => {
        check(right);
      }).not.toThrow();
      expect(() => {
        check((right ^ 1) >>> 0);
      }).toThrow(/^Tensor "w" in "pytorch_model\.bin" has the checksum [0-9a-f]{8}, and should have/);
    }),
  );
});

test("a part is moved by more bytes than 32 bits count", () => {
  // x^(2^32 - 1) is 1: bytes moved by a multiple of 2^32 - 1 places are where they were.
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const tensor = { ...tensorOf(bytes, 0), byteLength: 4 + 2 ** 35 - 8 };
  const part = partsOf(bytes, tensor, [[0, 4]]).get("w");
  expect((part?.sum ?? 0) >>> 0).toBe(crc32(bytes));
});

test("what was not read whole, once, says nothing", () => {
  const bytes = new Uint8Array(16).map((_, i) => i);
  const wrong = tensorOf(bytes, 5);
  const all = partsOf(bytes, wrong, [[0, 16]]);
  const half = partsOf(bytes, wrong, [[0, 8]]);
  for (const [slices, parts] of [
    [[sliceOf(wrong)], [half]],
    [[sliceOf(wrong)], []],
    [[sliceOf(wrong, 0, 2)], [half]],
    // Rows that two weights have, and others that none has: as many bytes as the whole.
    [
      [sliceOf(wrong, 0, 2), sliceOf(wrong, 0, 2)],
      [half, half],
    ],
    [[sliceOf(tensorOf(bytes, undefined))], [all]],
  ] as [WeightSlice[], PartialChecksums[]][]) {
    expect(() => {
      compareChecksums(slices, parts);
    }).not.toThrow();
  }
  const two = [sliceOf(wrong, 2, 4), sliceOf(wrong, 0, 2)];
  expect(() => {
    compareChecksums(two, [all]);
  }).toThrow("and should have 00000005: it is damaged");
});
