import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADAPTER } from "../../../../test/support/devices.ts";
import { bf16Value, f16Value, type Format } from "../../../../test/support/numbers.ts";
import { quantizedRowValues } from "../../../../test/support/quantized-rows.ts";
import { quantized } from "../../../../test/support/quantized-weights.ts";
import { randomWeights } from "../../../../test/support/random-weights.ts";
import type { QuantizedFormat } from "../../../kernels/format.ts";
import type { Checkpoint, WeightTensor } from "../../checkpoint/checkpoint.ts";
import type { TensorLocation } from "../../checkpoint/tensor-location.ts";
import { FORWARD, ProgramBuilder, type Program } from "../../program.ts";
import { kvLayers } from "../../state.ts";
import { readFileRange } from "../../platform/files.ts";
import { MAP, USAGE } from "./constants.ts";
import { GpuContext } from "./device.ts";
import { fuseEntry } from "../plan/fuse.ts";
import { fuseRules, layOutWeights, type Weight, type WeightLayout } from "../plan/layout.ts";
import { piecesOf, uploadWeights, type Piece } from "./weights.ts";

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
    const ranges = [{ start: 0, end: rows }];
    const source = { tensor, format: "bf16", rows, columns: COLUMNS, transposed: false, ranges } as const;
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
    for (const { rows, stride } of pieces) {
      expect(rows * stride).toBeLessThanOrEqual(staging);
    }
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

describe("pieces of slices", () => {
  /** 400 rows of 12 bytes, of which some are taken. */
  const sliced = (
    ranges: readonly { start: number; end: number }[],
    change: { transposed?: boolean; strides?: readonly number[] } = {},
  ): Piece[] => {
    const weight = weightOf([{ name: "qkv", rows: 400, offset: 64 }], [400]);
    const rows = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    const { source } = weight.parts[0];
    const { transposed = false, strides } = change;
    const part = {
      source: { ...source, rows, ranges, transposed, tensor: { ...source.tensor, strides } },
      first: 0,
    };
    const shards = [{ buffer: "shard", first: 0, count: rows }];
    return piecesOf([{ ...weight, rows, parts: [part], shards }]);
  };

  test("one range: from there in the file", () => {
    expect(sliced([{ start: 100, end: 300 }])).toEqual([
      { file: "a", position: 64 + 1200, rows: 200, rowBytes: 12, stride: 16, buffer: "shard", offset: 0 },
    ]);
  });

  test("short ranges, transposed and strided tensors are for the main thread", () => {
    const half = [{ start: 0, end: 200 }];
    const scattered = [
      { start: 7, end: 8 },
      { start: 3, end: 4 },
    ];
    for (const pieces of [
      sliced(scattered),
      sliced(half, { transposed: true }),
      sliced(half, { strides: [1, 400] }),
    ]) {
      expect(pieces).toHaveLength(1);
      expect(pieces[0]).toMatchObject({
        position: 64,
        offset: 0,
        strided: { range: { start: 0, end: pieces[0].rows } },
      });
    }
  });
});

describe("on a GPU", () => {
  let context: GpuContext;
  beforeAll(async () => {
    context = await GpuContext.open({ name: ADAPTER, validation: "full" });
  });
  afterAll(() => {
    context.destroy();
  });

  const SIZE = 9;
  const ROWS = 20;

  /** A program with q, k and v of one tensor, a matrix and a vector from everywhere, and one tensor as it is. */
  function program(transposed: boolean): Program {
    const p = new ProgramBuilder();
    for (const name of ["x", "q", "k", "v", "o", "p"]) {
      p.buffer(name, name === "x" ? SIZE : ROWS);
    }
    const slice = (name: string, tensor: string, ranges: readonly [number, number][], rows: number): void => {
      const from = { tensor, rows, transposed, ranges: ranges.map(([start, end]) => ({ start, end })) };
      const count = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
      p.matrix(name, count, SIZE, from);
      p.vector(`${name}.bias`, count, { source: { ...from, tensor: `${tensor}.bias`, transposed: false } });
    };
    slice("k", "qkv", [[0, 4]], 28);
    slice(
      "q",
      "qkv",
      [
        [20, 28],
        [8, 20],
      ],
      28,
    );
    slice("v", "qkv", [[4, 8]], 28);
    slice(
      "o",
      "scattered",
      Array.from({ length: ROWS }, (_, i) => [(7 * i) % ROWS, ((7 * i) % ROWS) + 1]),
      ROWS,
    );
    p.matrix("p", ROWS, SIZE);
    p.vector("p.bias", ROWS);
    p.group("all");
    const linear = (name: string) =>
      ({
        role: "linear",
        input: "x",
        weight: name,
        bias: `${name}.bias`,
        output: name,
        accumulate: false,
      }) as const;
    for (const name of ["q", "k", "v"]) {
      p.op(linear(name));
    }
    p.op({ role: "append", key: "k", value: "v", layer: 0 });
    p.op({ role: "attention", over: "past", query: "q", layer: 0, heads: 1, scale: 1, output: "a" });
    p.op(linear("o"));
    p.op(linear("p"));
    return p.build({
      family: "test",
      vocabSize: 8,
      maxPositions: 8,
      state: kvLayers(1, { kvHeads: 1, headDim: 4 }),
    });
  }

  async function bytesOf(buffer: GPUBuffer): Promise<ArrayBuffer> {
    const staging = await context.createBuffer("read", buffer.size, USAGE.MAP_READ | USAGE.COPY_DST);
    const encoder = context.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
    context.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP.READ);
    const bytes = staging.getMappedRange().slice(0);
    context.releaseBuffer(staging);
    return bytes;
  }

  /** Rows of a weight as its buffers have them, without the padding, which is zeros. */
  async function rowsIn(weight: Weight, buffers: ReadonlyMap<string, GPUBuffer>): Promise<number[]> {
    const numbers: number[] = [];
    for (const { buffer } of weight.shards) {
      const bytes = await bytesOf(buffers.get(buffer)!);
      const all =
        weight.format === "f32"
          ? new Float32Array(bytes)
          : Float64Array.from(new Uint16Array(bytes), weight.format === "bf16" ? bf16Value : f16Value);
      const width = (all.length * weight.stride) / bytes.byteLength;
      all.forEach((value, i) => {
        if (i % width < weight.columns) {
          numbers.push(value);
        } else {
          expect(value).toBe(0);
        }
      });
    }
    return numbers;
  }

  test.each([
    ["f32", true, "int8", 1e6],
    ["bf16", false, "int4", 1e6],
    ["bf16", true, "int4", 150], // pieces of weights
  ] as const)(
    "%s, transposed %s, to %s, bound %i bytes at a time",
    async (stored, transposed, quantization, limit) => {
      const model = program(transposed);
      const random = await randomWeights(model, () => stored);
      const { values } = random;
      const checkpoint = { ...random.checkpoint, tensors: await withChecksums(random.checkpoint) };
      const stages = fuseEntry(model, FORWARD, fuseRules(model, checkpoint, limit, quantization));
      const layout = layOutWeights(model, checkpoint, stages, limit, quantization);
      const { buffers, progress } = await upload(layout);

      // Values are int8 in either case.
      const apart = quantization === "int8" ? ["q + k + v"] : ["q + k", "v"];
      expect([...layout.weights.keys()]).toEqual(
        limit > 1000 ? [...apart, "o", "p"] : ["q", "k", "v", "o", "p"],
      );
      expect([...layout.weights.values()].some(({ shards }) => shards.length > 1)).toBe(limit < 1000);
      for (const weight of layout.weights.values()) {
        const { format, shards } = weight;
        expect(format).toBe(weight.key === "v" ? "int8" : quantization);
        const found: number[] = [];
        for (const { buffer, count } of shards) {
          const bytes = new Uint8Array(await bytesOf(buffers.get(buffer)!));
          expect(bytes.length).toBe(count * weight.stride);
          found.push(...quantizedRowValues(bytes, format as QuantizedFormat, count, SIZE));
        }
        const all = weight.key.split(" + ").flatMap((name) => Array.from(values.get(name)!));
        const expected = quantized(Float64Array.from(all), SIZE, format as QuantizedFormat);
        expect(found, weight.key).toEqual([...expected]);
      }
      const total = (2 * 20 + 28) * SIZE * (stored === "f32" ? 4 : 2);
      expect(progress.at(-1)).toEqual([total, total]);

      // What threads have read is summed up too.
      const tensors = new Map(checkpoint.tensors).set("qkv", {
        ...checkpoint.tensors.get("qkv")!,
        checksum: 5,
      });
      const other = layOutWeights(model, { ...checkpoint, tensors }, stages, limit, quantization);
      await expect(uploadWeights(context, other, buffers, {})).rejects.toThrow('Tensor "qkv" in ');
    },
  );

  /** The tensors of a checkpoint with their checksums, as those of a zip file of torch.save. */
  async function withChecksums({ tensors }: Checkpoint): Promise<Map<string, TensorLocation>> {
    const summed = [...tensors].map(async ([name, tensor]): Promise<[string, TensorLocation]> => {
      const { file, offset, byteLength, strides } = tensor;
      return strides === undefined
        ? [name, { ...tensor, checksum: crc32(await readFileRange(file, offset, byteLength)) }]
        : [name, tensor];
    });
    return new Map(await Promise.all(summed));
  }

  /** Loads all weights of a layout into buffers of their own. */
  async function upload(layout: WeightLayout) {
    const usage = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;
    const sizes = [...layout.weights.values()].flatMap(({ shards, stride }) =>
      shards.map(({ buffer, count }) => [buffer, count * stride] as const),
    );
    const buffers = new Map<string, GPUBuffer>();
    for (const [name, size] of [...sizes, ["vectors", layout.vectorLength * 4] as const]) {
      buffers.set(name, await context.createBuffer(name, size, usage));
    }
    const progress: [number, number][] = [];
    await uploadWeights(context, layout, buffers, { onWeights: (...report) => void progress.push(report) });
    return { buffers, progress };
  }

  test.each([
    ["f32", true, 1e6],
    ["bf16", true, 1e6],
    ["f16", false, 1e6],
    ["bf16", true, 17 * 32], // stacks stay apart, and all but the keys and values are cut
  ] as [Format, boolean, number][])(
    "%s, transposed %s, bound %i bytes at a time",
    async (format, transposed, limit) => {
      const model = program(transposed);
      const { checkpoint, values } = await randomWeights(model, () => format);
      // The last matrix once more, as PyTorch keeps a transposed tensor.
      const tensors = new Map(checkpoint.tensors);
      const stored = tensors.get("p")!;
      tensors.set("p", { ...stored, strides: [1, ROWS] });
      const element = (i: number): number => values.get("p")![Math.floor(i / SIZE) + (i % SIZE) * ROWS];
      values.set(
        "p",
        Float64Array.from({ length: ROWS * SIZE }, (_, i) => element(i)),
      );

      // And a vector that is one number, repeated.
      tensors.set("p.bias", { ...tensors.get("p.bias")!, strides: [0] });
      values.set("p.bias", new Float64Array(ROWS).fill(values.get("p.bias")![0]));

      for (const [name, tensor] of await withChecksums({ ...checkpoint, tensors })) {
        tensors.set(name, tensor);
      }
      const stages = fuseEntry(model, FORWARD, { canStack: () => limit > 1000, canAddTables: () => true });
      const layout = layOutWeights(model, { ...checkpoint, tensors }, stages, limit);
      const { buffers, progress } = await upload(layout);

      expect([...layout.weights.keys()]).toEqual(
        limit > 1000 ? ["q + k + v", "o", "p"] : ["q", "k", "v", "o", "p"],
      );
      const vectors = new Float32Array(await bytesOf(buffers.get("vectors")!));
      for (const weight of layout.weights.values()) {
        const names = weight.key.split(" + ");
        const expected = names.flatMap((name) => Array.from(values.get(name)!));
        expect(await rowsIn(weight, buffers), weight.key).toEqual(expected);
        const biases = names.flatMap((name) => Array.from(values.get(`${name}.bias`)!));
        const offset = layout.vectorOffset(names.map((name) => `${name}.bias`));
        expect([...vectors.subarray(offset, offset + biases.length)], weight.key).toEqual(biases);
      }
      for (const name of ["qkv", "scattered", "qkv.bias", "scattered.bias"]) {
        const wrong = new Map(tensors).set(name, { ...tensors.get(name)!, checksum: 5 });
        const other = layOutWeights(model, { ...checkpoint, tensors: wrong }, stages, limit);
        await expect(uploadWeights(context, other, buffers, {})).rejects.toThrow(
          `Tensor "${name}" in "${stored.file}" has the checksum`,
        );
      }
      const total = (2 * 20 + 28) * SIZE * (format === "f32" ? 4 : 2);
      expect(progress.at(-1)).toEqual([total, total]);
    },
  );
});
