import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkpointOfShape } from "../bench/checkpoint/shapes.ts";
import { writeCheckpoint } from "../bench/checkpoint/write-checkpoint.ts";
import { openLlamaModel } from "../bench/peers/export/llama-model.ts";
import { store } from "../bench/peers/gguf/quantize.ts";
import { splitBlocks } from "../bench/peers/onnx/block-weights.ts";
import {
  COSINES,
  decoderGraph,
  elementsOf,
  LAST,
  scalesOf,
  SINES,
} from "../bench/peers/onnx/decoder-graph.ts";
import { describeOnnx, exportOnnx } from "../bench/peers/onnx/export-onnx.ts";
import { encodeOnnx } from "../bench/peers/onnx/onnx-file.ts";
import { encode, float, integer, message, text } from "../bench/peers/onnx/protobuf.ts";
import { openCheckpoint } from "../src/runtime/checkpoint/checkpoint.ts";
import { readFileRange } from "../src/runtime/platform/files.ts";

const TALES = join(import.meta.dirname, "../models/tales");

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "peers-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("protocol buffers", () => {
  it("are encoded as their documentation's examples", () => {
    expect([...encode([integer(1, 150)])]).toEqual([0x08, 0x96, 0x01]);
    expect([...encode([text(2, "testing")])]).toEqual([0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
    expect([...encode([message(3, [integer(1, 150)])])]).toEqual([0x1a, 0x03, 0x08, 0x96, 0x01]);
    // Negative integers take ten bytes; a number of 16 and more makes the tag two.
    expect([...encode([integer(1, -1)])]).toEqual([0x08, ...Array<number>(9).fill(0xff), 0x01]);
    expect([...encode([float(20, 1)])]).toEqual([0xa5, 0x01, 0, 0, 0x80, 0x3f]);
    expect([...encode([integer(1, 0)])]).toEqual([0x08, 0x00]);
  });

  it("describe constants, nodes and inputs with ONNX's field numbers", () => {
    const bytes = Buffer.from(
      encodeOnnx({
        nodes: [{ op: "Op", domain: "d", inputs: ["a", "b"], outputs: ["c"], integers: { n: 2 } }],
        tensors: [
          {
            name: "b",
            type: "uint8",
            shape: [3],
            data: { file: "w", offset: 4096, byteLength: 3 },
          },
        ],
        inputs: [{ name: "a", type: "float", shape: [1, "n"] }],
        outputs: [],
      }),
    );
    const node = encode([
      text(1, "a"),
      text(1, "b"),
      text(2, "c"),
      text(3, "c"),
      text(4, "Op"),
      message(5, [text(1, "n"), integer(3, 2), integer(20, 2)]),
      text(7, "d"),
    ]);
    const entry = (key: string, value: string) => message(13, [text(1, key), text(2, value)]);
    const tensor = encode([
      integer(1, 3),
      integer(2, 2),
      text(8, "b"),
      entry("location", "w"),
      entry("offset", "4096"),
      entry("length", "3"),
      integer(14, 1),
    ]);
    const shape = message(2, [message(1, [integer(1, 1)]), message(1, [text(2, "n")])]);
    const input = encode([text(1, "a"), message(2, [message(1, [integer(1, 1), shape])])]);
    expect(bytes.includes(Buffer.from(node))).toBe(true);
    expect(bytes.includes(Buffer.from(tensor))).toBe(true);
    expect(bytes.includes(Buffer.from(input))).toBe(true);
  });
});

describe("blocks", () => {
  it("are taken apart into unsigned elements in order, and scales", () => {
    const values = Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? i - 16 : 2 * (i - 48)));
    const eight = splitBlocks(store(values, "q8_0"), "q8_0");
    expect(eight.elements.byteLength).toBe(64);
    // The scale of a block is rounded to f16 after the elements were made: an error of 2^-11 and half a step.
    for (const [i, value] of values.entries()) {
      const scale = eight.scales[Math.floor(i / 32)];
      expect(Math.abs((eight.elements[i] - 128) * scale - value)).toBeLessThan(0.51 * scale + 0.01);
    }
    const four = splitBlocks(store(values, "q4_0"), "q4_0");
    expect(four.elements.byteLength).toBe(32);
    expect([...four.scales]).toEqual([2, 4]);
    const steps = [...four.elements].flatMap((byte) => [byte & 15, byte >>> 4]);
    expect(steps).toHaveLength(64);
    for (const [i, step] of steps.entries()) {
      const scale = four.scales[Math.floor(i / 32)];
      expect(Math.abs((step - 8) * scale - values[i])).toBeLessThanOrEqual(scale / 2);
    }
  });

  it("keep scales that are negative or subnormal", () => {
    const values = new Float32Array(32);
    values[0] = 8;
    expect([...splitBlocks(store(values, "q4_0"), "q4_0").scales]).toEqual([-1]);
    values[0] = -(2 ** -17);
    expect([...splitBlocks(store(values, "q4_0"), "q4_0").scales]).toEqual([2 ** -20]);
  });
});

describe("the bundled model's graph", () => {
  it("uses nothing before it is there, and everything that is there", async () => {
    const { config } = await openLlamaModel(TALES);
    const { nodes, inputs, outputs } = decoderGraph(config, "q4_0", "token_embd.weight");
    const matrices = nodes.filter(({ op }) => op === "MatMulNBits");
    expect(matrices).toHaveLength(8 * 7 + 1);
    const constants = [
      ...matrices.map(({ inputs: [, elements = ""] }) => elements),
      ...matrices.map(({ inputs: [, , scales = ""] }) => scales),
      ...Array.from({ length: 8 }, (_, layer) => [
        `blk.${layer}.attn_norm.weight`,
        `blk.${layer}.ffn_norm.weight`,
      ]).flat(),
      "output_norm.weight",
      ...[COSINES, SINES, LAST],
    ];
    const known = new Set([...constants, ...inputs.map(({ name }) => name)]);
    const unused = new Set(known);
    for (const node of nodes) {
      for (const name of node.inputs) {
        expect(known, `${node.op} of ${node.outputs[0]}`).toContain(name);
        unused.delete(name);
      }
      for (const name of node.outputs.filter((output) => output !== "")) {
        expect(known).not.toContain(name);
        known.add(name);
      }
    }
    expect([...unused]).toEqual([]);
    for (const { name } of outputs) {
      expect(known).toContain(name);
    }
    const rotates = nodes
      .filter(({ op }) => op === "GroupQueryAttention")
      .map(({ integers, inputs: given }) => [integers?.do_rotary, given.length]);
    expect(rotates.slice(2, 5)).toEqual([
      [1, 9],
      [0, 7],
      [1, 9],
    ]);
  });

  it("comes with the weights, at whole pages, in the checkpoint's order of rows", async () => {
    const { placed, weights } = await exported(TALES);
    const matrix = "blk.1.attn_q.weight";
    const elements = placed(elementsOf(matrix));
    const scales = placed(scalesOf(matrix));
    expect([elements.length, scales.length]).toEqual([128 * 128, (128 * 128 * 4) / 32]);
    expect([elements.offset % 4096, scales.offset % 4096]).toEqual([0, 0]);

    const { tensors } = await openCheckpoint(TALES);
    const stored = tensors.get("model.layers.1.self_attn.q_proj.weight")!;
    const halves = Buffer.from(await readFileRange(stored.file, stored.offset, stored.byteLength));
    // Row 1 is where GGUF would have row 16.
    for (const at of [0, 128, 128 + 33, 128 * 128 - 1]) {
      const scale = weights.readFloatLE(scales.offset + 4 * Math.floor(at / 32));
      const value = (weights[elements.offset + at] - 128) * scale;
      const bits = Uint32Array.of(halves.readUInt16LE(2 * at) << 16);
      const [original = 0] = new Float32Array(bits.buffer);
      expect(Math.abs(value - original)).toBeLessThan(0.6 * scale);
    }
    const parameters = 2048 * 128 + 8 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 384 * 128);
    expect((await describeOnnx(TALES, "q8_0")).weightBytesPerToken).toBe((parameters / 32) * 36);
  });

  it("has all of a matrix that is written in several parts", async () => {
    const model = join(folder, "large");
    const shape = { layers: 1, hiddenSize: 128, heads: 2, keyValueHeads: 1, intermediateSize: 64 };
    const ids = { bosTokenId: 1, eosTokenId: 2, padTokenId: 0 };
    const vocabulary = { vocabSize: 20_000, maxPositions: 64, ropeTheta: 10_000 };
    await writeCheckpoint(model, checkpointOfShape({ ...shape, ...ids, ...vocabulary }), {
      dtype: "f32",
      seed: 1,
    });
    const { placed, weights } = await exported(model);
    const stored = (await openCheckpoint(model)).tensors.get("model.embed_tokens.weight")!;
    const lastBlock = await readFileRange(stored.file, stored.offset + stored.byteLength - 128, 128);
    const expected = splitBlocks(store(new Float32Array(lastBlock.buffer), "q8_0"), "q8_0");
    const elements = placed(elementsOf("token_embd.weight"));
    const scales = placed(scalesOf("token_embd.weight"));
    const end = elements.offset + elements.length;
    expect([...weights.subarray(end - 32, end)]).toEqual([...expected.elements]);
    expect(weights.readFloatLE(scales.offset + scales.length - 4)).toBe(expected.scales[0]);
  });

  /** Exports a model and gives its weights' file, and where the graph says that a constant lies in it. */
  async function exported(model: string) {
    const path = join(folder, "model.onnx");
    await exportOnnx(model, path, { type: "q8_0", positions: 16 });
    const graph = await readFile(path);
    const weights = await readFile(`${path}.weights`);
    const placed = (name: string): { offset: number; length: number } => {
      const after = graph.subarray(graph.indexOf(`\x42${String.fromCharCode(name.length)}${name}`));
      const [, offset, length] =
        /offset\x12.(\d+)\D[^]*?length\x12.(\d+)/.exec(after.toString("latin1")) ?? [];
      return { offset: Number(offset), length: Number(length) };
    };
    return { weights, placed };
  }
});
