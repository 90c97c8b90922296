/** MXFP4 as bf16: every element with every scale, rows that lie apart, in windows of any size. */
import { expect, test } from "vitest";
import { temporaryFile } from "../../../test/support/model-files.ts";
import { AbortError } from "../../base/errors.ts";
import { openFile } from "../platform/files.ts";
import { E2M1 } from "./mxfp4.ts";
import type { TensorLocation } from "./tensor-location.ts";
import { vectorValues } from "./vector-values.ts";
import { readTensorRows } from "./weight-reader.ts";

const [ROWS, GROUPS, OFFSET] = [128, 2, 3];
const COLUMNS = 32 * GROUPS;
/** Rows lie behind others, which are not read. */
const [STRIDE, SCALE_STRIDE] = [COLUMNS / 2 + 16, GROUPS + 1];

/** Element i of a row is code (i + row) % 16; the scales of all rows are 0, 1, … 255. */
function stored(): TensorLocation {
  const blocks = new Uint8Array(OFFSET + ROWS * STRIDE).fill(0xff);
  const scales = new Uint8Array(ROWS * SCALE_STRIDE).fill(255);
  for (let r = 0; r < ROWS; r++) {
    for (let b = 0; b < COLUMNS / 2; b++) {
      blocks[OFFSET + r * STRIDE + b] = ((2 * b + r) % 16) | (((2 * b + 1 + r) % 16) << 4);
    }
    scales.set([2 * r, 2 * r + 1], r * SCALE_STRIDE);
  }
  const scalesFile = temporaryFile("scales", scales);
  return {
    name: "w",
    dtype: "BF16",
    shape: [ROWS, COLUMNS],
    file: temporaryFile("blocks", blocks),
    offset: OFFSET,
    byteLength: ROWS * COLUMNS * 2,
    mxfp4: {
      rowStride: STRIDE,
      scales: { name: "s", file: scalesFile, offset: 0, rowStride: SCALE_STRIDE },
    },
  };
}

test.each([1, 100, 1 << 20])("rows in windows of %i bytes", (windowBytes) => {
  const tensor = stored();
  const file = openFile(tensor.file);
  const [start, end] = [1, ROWS];
  const target = new Uint8Array((end - start) * COLUMNS * 2);
  let bytes = 0;
  readTensorRows(file, tensor, { start, end }, target, {
    windowBytes: Math.max(windowBytes, 2),
    onBytes: (count) => (bytes += count),
  });
  expect(bytes).toBe(target.length);
  const values = vectorValues({ dtype: "BF16" }, target);
  const expected = values.map((_, i) => {
    const [row, column] = [start + Math.floor(i / COLUMNS), i % COLUMNS];
    const scale = 2 * row + Math.floor(column / 32);
    // 4 and 6 times 2^127 are beyond f32.
    return scale === 255 ? NaN : Math.fround(E2M1[(column + row) % 16] * 2 ** (scale - 127));
  });
  expect(values).toEqual(expected);
  file.close();
});

test("what does not fit, and an end", () => {
  const tensor = stored();
  const file = openFile(tensor.file);
  const rows = { start: 0, end: ROWS + 1 };
  expect(() => {
    readTensorRows(file, tensor, rows, new Uint8Array((ROWS + 1) * COLUMNS * 2));
  }).toThrow(`rows [0, ${ROWS + 1}) of ${ROWS}`);
  expect(() => {
    readTensorRows(file, tensor, { start: 0, end: 1 }, new Uint8Array(2));
  }).toThrow("to 2 bytes; expected a range within them, and 128 bytes");
  expect(() => {
    readTensorRows(file, tensor, { start: 0, end: 1 }, new Uint8Array(COLUMNS * 2), {
      shouldStop: () => true,
    });
  }).toThrow(AbortError);
  file.close();
});
