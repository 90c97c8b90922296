/** Slices of tensors: ranges, transposes, and how they are read. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { safetensorsBytes, temporaryDirectory } from "../../../test/support/model-files.ts";
import { openCheckpoint, requireTensor, type Checkpoint } from "./checkpoint.ts";
import type { Precision } from "../device-types.ts";
import { openFile } from "../platform/files.ts";
import { ProgramBuilder, type Program, type WeightSource } from "../program.ts";
import { kvLayers } from "../state.ts";
import { vectorValues } from "./vector-values.ts";
import {
  matrixSlice,
  formatOfPrecision,
  readSliceRows,
  requireFormat,
  tensorRanges,
  vectorReads,
  vectorSlice,
} from "./weight-source.ts";

/** "stored" is [6, 4], "turned" its transpose, "line" has 6 numbers; the number at [r, c] is 10 r + c. */
async function checkpoint(): Promise<Checkpoint> {
  const at = (r: number, c: number): number => 10 * r + c;
  const stored = Float32Array.from({ length: 24 }, (_, i) => at(Math.floor(i / 4), i % 4));
  const turned = Float32Array.from({ length: 24 }, (_, i) => at(i % 6, Math.floor(i / 6)));
  const line = Float32Array.from({ length: 6 }, (_, i) => i);
  const directory = temporaryDirectory();
  const header = {
    stored: { dtype: "F32", shape: [6, 4], data_offsets: [0, 96] },
    turned: { dtype: "F32", shape: [4, 6], data_offsets: [96, 192] },
    line: { dtype: "F32", shape: [6], data_offsets: [192, 216] },
  };
  const bytes = Buffer.concat([stored, turned, line].map(({ buffer }) => Buffer.from(buffer)));
  writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(header, bytes));
  return openCheckpoint(directory);
}

test("a vector may be stored as one row, and not as several", async () => {
  const directory = temporaryDirectory();
  const header = {
    row: { dtype: "F32", shape: [1, 4], data_offsets: [0, 16] },
    rows: { dtype: "F32", shape: [2, 4], data_offsets: [16, 48] },
  };
  writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(header, new Uint8Array(48)));
  const opened = await openCheckpoint(directory);
  expect(requireTensor(opened, "row", [4]).shape).toEqual([4]);
  expect(() => requireTensor(opened, "rows", [4])).toThrow(/has shape \[2, 4\]; expected \[4\]/);
});

function programOf(rows: number, source?: WeightSource, vector?: WeightSource): Program {
  const p = new ProgramBuilder();
  p.matrix("weight", rows, 4, source);
  p.vector("bias", rows, { source: vector });
  return p.build({
    family: "test",
    vocabSize: 1,
    maxPositions: 1,
    state: kvLayers(0, { kvHeads: 1, headDim: 4 }),
  });
}

const RANGES = [
  { start: 4, end: 6 },
  { start: 0, end: 1 },
  { start: 2, end: 4 },
];
const ORDER = [4, 5, 0, 2, 3];

describe("slices", () => {
  test.each([
    ["stored", false],
    ["turned", true],
  ])("some rows of %s, in another order, read in parts", async (tensor, transposed) => {
    const opened = await checkpoint();
    const slice = matrixSlice(
      programOf(5, { tensor, rows: 6, transposed, ranges: RANGES }),
      opened,
      "weight",
    );
    expect(slice).toMatchObject({ rows: 5, columns: 4, transposed });
    const file = openFile(slice.tensor.file);
    try {
      for (const [start, end] of [
        [0, 5],
        [1, 4],
        [3, 3],
        [4, 5],
      ]) {
        const target = new Float32Array((end - start) * 4);
        readSliceRows(file, slice, { start, end }, new Uint8Array(target.buffer), { windowBytes: 12 });
        expect([...target]).toEqual(
          ORDER.slice(start, end).flatMap((r) => [0, 1, 2, 3].map((c) => 10 * r + c)),
        );
      }
    } finally {
      file.close();
    }
  });

  test("a vector's rows", async () => {
    const source = { tensor: "line", rows: 6, ranges: RANGES };
    const slice = vectorSlice(programOf(5, undefined, source), await checkpoint(), "bias");
    const file = openFile(slice.tensor.file);
    const target = new Float32Array(5);
    readSliceRows(file, slice, { start: 0, end: 5 }, new Uint8Array(target.buffer));
    file.close();
    expect([...target]).toEqual(ORDER);
  });

  test.each([
    ["stored", undefined],
    ["turned", [1, 6]],
  ])("a vector of some numbers of the matrix %s", async (tensor, strides) => {
    const p = new ProgramBuilder();
    const indices = [23, 0, 6, 6, 1];
    p.vector("picked", 5, { source: { tensor, rows: 6 }, gather: { columns: 4, indices } });
    const program = p.build({ family: "test", vocabSize: 1, maxPositions: 1, state: [] });
    const opened = await checkpoint();
    const found = opened.tensors.get(tensor);
    // As PyTorch's files have a matrix that was transposed in memory.
    const tensors = new Map([...opened.tensors, [tensor, { ...found!, shape: [6, 4], strides }]]);
    const slice = vectorSlice(program, { ...opened, tensors }, "picked");
    const read = new Uint8Array(vectorReads(slice) * 4);
    const file = openFile(slice.tensor.file);
    readSliceRows(file, slice, { start: 0, end: vectorReads(slice) }, read);
    file.close();
    expect([...vectorValues(slice.tensor, read, slice)]).toEqual([53, 0, 12, 12, 1]);
    expect(slice.rows).toBe(5);
  });

  test("ranges that a part touches", () => {
    expect(tensorRanges(RANGES, { start: 1, end: 4 })).toEqual([
      { start: 5, end: 6 },
      { start: 0, end: 1 },
      { start: 2, end: 3 },
    ]);
    expect(tensorRanges(RANGES, { start: 2, end: 2 })).toEqual([]);
  });

  test("a tensor of another shape is refused by its own name", async () => {
    const opened = await checkpoint();
    const program = programOf(6, { tensor: "turned", rows: 6 });
    expect(() => matrixSlice(program, opened, "weight")).toThrow(
      /Tensor "turned" in ".*" has shape \[4, 6\]; expected \[6, 4\]/,
    );
  });

  test("another precision is refused, whatever tensor a weight is part of", async () => {
    const opened = await checkpoint();
    const program = programOf(6, { tensor: "turned", rows: 6, transposed: true });
    const ask = (precision: Precision): void => requireFormat(program, opened, formatOfPrecision(precision));
    ask("stored");
    ask("float32");
    expect(() => {
      ask("bfloat16");
    }).toThrow(/precision bfloat16 was asked for; tensor "turned" of ".*" is F32/);
  });

  test("a quantised weight is two tensors, of which its rows take the same rows", async () => {
    const directory = temporaryDirectory();
    const header = {
      q: { dtype: "I8", shape: [3, 4], data_offsets: [0, 12] },
      s: { dtype: "F32", shape: [3], data_offsets: [12, 24] },
      half: { dtype: "F32", shape: [2], data_offsets: [24, 32] },
    };
    const bytes = Buffer.concat([
      Buffer.from(Int8Array.from({ length: 12 }, (_, i) => i - 6).buffer),
      Buffer.from(Float32Array.of(1, 2, 3, 0, 0).buffer),
    ]);
    writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(header, bytes));
    const opened = await openCheckpoint(directory);
    const ranges = [
      { start: 2, end: 3 },
      { start: 0, end: 1 },
    ];
    const slice = matrixSlice(programOf(2, { tensor: "q", rows: 3, ranges, scales: "s" }), opened, "weight");
    expect(slice).toMatchObject({
      format: "i8-row",
      rows: 2,
      columns: 4,
      scales: { format: "f32", rows: 2 },
    });
    expect(slice.scales?.ranges).toEqual(ranges);
    const missing = programOf(3, { tensor: "q", rows: 3 });
    expect(() => matrixSlice(missing, opened, "weight")).toThrow(
      /"q" .* has dtype I8; supported are F32, F16 and BF16/,
    );
    const short = programOf(3, { tensor: "q", rows: 3, scales: "half" });
    expect(() => matrixSlice(short, opened, "weight")).toThrow(/"half" .* has shape \[2\]; expected \[3\]/);
    const float = programOf(3, { tensor: "s", rows: 3, scales: "s" });
    expect(() => matrixSlice(float, opened, "weight")).toThrow(/"s" .* has shape \[3\]; expected \[3, 4\]/);
  });
});
