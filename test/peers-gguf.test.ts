import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesPerToken, exportModel } from "../bench/peers/export/export-model.ts";
import { openLlamaModel } from "../bench/peers/export/llama-model.ts";
import { preTokenizerName } from "../bench/peers/export/pre-tokenizer.ts";
import { interleaveHalves, tensorParts } from "../bench/peers/export/tensor-parts.ts";
import { ggufName, isReadWhole, planTensors } from "../bench/peers/export/tensors.ts";
import { bf16Bits, f16Bits } from "../bench/peers/gguf/float-bits.ts";
import { store } from "../bench/peers/gguf/quantize.ts";
import { writeGguf } from "../bench/peers/gguf/write-file.ts";
import { checkpointOfShape } from "../bench/checkpoint/shapes.ts";
import { writeCheckpoint } from "../bench/checkpoint/write-checkpoint.ts";
import { openCheckpoint } from "../src/runtime/checkpoint/checkpoint.ts";
import { readFileRange } from "../src/runtime/platform/files.ts";
import { readGguf, tensorPart, type GgufFile } from "./support/gguf-file.ts";

const TALES = join(import.meta.dirname, "../models/tales");

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "peers-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

describe("16-bit numbers", () => {
  it("rounds to f16, ties to even, subnormals and infinities included", () => {
    const cases: [number, number][] = [
      [0, 0x0000],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2.5, 0xc100],
      [65504, 0x7bff],
      [65519.99, 0x7bff],
      [65520, 0x7c00],
      [-1e10, 0xfc00],
      [2 ** -14, 0x0400],
      [2 ** -24, 0x0001],
      // Half of the least step, a little more, and one step and a half.
      [2 ** -25, 0x0000],
      [2 ** -25 * 1.0001, 0x0001],
      [1.5 * 2 ** -24, 0x0002],
      [2.5 * 2 ** -24, 0x0002],
      [1023.5 * 2 ** -24, 0x0400],
      // Between 1 and the next f16, half way, and between that one and the one after it.
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [Infinity, 0x7c00],
    ];
    for (const [value, bits] of cases) {
      expect(f16Bits(bitsOf(value)), String(value)).toBe(bits);
    }
    expect(f16Bits(bitsOf(NaN)) & 0x7fff).toBeGreaterThan(0x7c00);
  });

  it("rounds to bf16, ties to even", () => {
    expect(bf16Bits(0x3f808000)).toBe(0x3f80);
    expect(bf16Bits(0x3f818000)).toBe(0x3f82);
    expect(bf16Bits(0x3f808001)).toBe(0x3f81);
    expect(bf16Bits(0xff7fffff)).toBe(0xff80);
    // A NaN whose payload is all below: rounding it down would make an infinity, up a zero.
    expect(bf16Bits(0x7f800001) & 0x7fff).toBeGreaterThan(0x7f80);
    expect(bf16Bits(0xffffffff) & 0x7fff).toBeGreaterThan(0x7f80);
  });

  it("stores as they are what is f32, and two bytes each what is f16", () => {
    expect([...store(Float32Array.of(1), "f32")]).toEqual([0, 0, 0x80, 0x3f]);
    expect([...store(Float32Array.of(1, -2.5), "f16")]).toEqual([0x00, 0x3c, 0x00, 0xc1]);
    expect([...store(Float32Array.of(1, -2.5), "bf16")]).toEqual([0x80, 0x3f, 0x20, 0xc0]);
  });
});

describe("quantised blocks", () => {
  it("stores Q8_0 with 127 steps to the largest magnitude, halves away from zero", () => {
    // With a largest magnitude of 127 the scale is 1 and the numbers are their own steps.
    const values = new Float32Array(64);
    values.set([-127, 0.5, -0.5, 1.49, 2.5, -2.5, 126.5]);
    values[31] = 3;
    // The second block has a scale of its own.
    values.set([254, -254, 1], 32);
    const bytes = store(values, "q8_0");
    expect(bytes.byteLength).toBe(2 * 34);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0x3c]);
    const steps = [...new Int8Array(bytes.buffer, 2, 32)];
    expect(steps.slice(0, 7)).toEqual([-127, 1, -1, 1, 3, -3, 127]);
    expect(steps[31]).toBe(3);
    expect([...bytes.subarray(34, 36)]).toEqual([0x00, 0x40]);
    expect([...new Int8Array(bytes.buffer, 36, 3)]).toEqual([127, -127, 1]);
  });

  it("stores Q4_0 so that the largest magnitude is -8 steps, whatever its sign", () => {
    const values = new Float32Array(32);
    // Scale -1: x / d + 8.5, cut off.
    values.set([8, -8, 7, 1, 0.5, -0.5, 0.49, -0.51]);
    values.set([1, -1, 2, -2], 16);
    const bytes = store(values, "q4_0");
    expect(bytes.byteLength).toBe(18);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0xbc]);
    // -8 would be 16, which four bits do not hold: it becomes 15. Columns 0 to 15 are the lower halves, 16 to 31 the upper.
    const low = [0, 15, 1, 7, 8, 9, 8, 9];
    const high = [7, 9, 6, 10];
    const expected = Array.from({ length: 16 }, (_, i) => (low[i] ?? 8) | ((high[i] ?? 8) << 4));
    expect([...bytes.subarray(2)]).toEqual(expected);
  });

  it("takes the first of two numbers of the same magnitude for Q4_0's scale", () => {
    const values = new Float32Array(32);
    values.set([1, -4, 4]);
    expect([...store(values, "q4_0").subarray(0, 2)]).toEqual([0x00, 0x38]);
  });

  it("rounds Q4_0's quotient and its sum with 8.5 each to f32, like ggml", () => {
    // The quotient is a little above -6.5: in f64, or with one rounding for both, the step would be 1.
    const values = new Float32Array(32);
    values.set([0.009, 0.0073124999180436134]);
    expect(store(values, "q4_0")[3] & 15).toBe(2);
  });

  it("stores zeros as zeros, with ggml's scale of Q4_0: 0 / -8 is -0", () => {
    const zeros = new Float32Array(32);
    expect([...store(zeros, "q8_0")]).toEqual(Array(34).fill(0));
    expect([...store(zeros, "q4_0")]).toEqual([0, 0x80, ...Array<number>(16).fill(0x88)]);
  });
});

describe("names and rows", () => {
  it("calls weights as llama.cpp does", () => {
    expect(ggufName("model.embed_tokens.weight")).toBe("token_embd.weight");
    expect(ggufName("lm_head.weight")).toBe("output.weight");
    expect(ggufName("model.norm.weight")).toBe("output_norm.weight");
    expect(ggufName("model.layers.11.self_attn.k_proj.weight")).toBe("blk.11.attn_k.weight");
    expect(ggufName("model.layers.0.post_attention_layernorm.weight")).toBe("blk.0.ffn_norm.weight");
    expect(() => ggufName("model.layers.0.self_attn.q_norm.weight")).toThrow("q_norm");
  });

  it("counts embeddings among what a token reads only where they are the LM head too", () => {
    const tensor = (name: string, shape: number[]) => ({ name, shape, type: "f16" }) as const;
    const embeddings = tensor("token_embd.weight", [8, 4]);
    const head = tensor("output.weight", [8, 4]);
    const norm = tensor("output_norm.weight", [4]);
    const read = (tensors: (typeof head)[]) => tensors.filter((each) => isReadWhole(each, tensors));
    expect(read([embeddings, norm])).toEqual([embeddings]);
    expect(read([embeddings, norm, head])).toEqual([head]);
  });

  it("puts pairs of rotated rows side by side, head by head", () => {
    // Two heads of four rows, a row of two bytes each.
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => Math.floor(i / 2));
    const rows = [...interleaveHalves(bytes, 2, 4)].filter((_, i) => i % 2 === 0);
    expect(rows).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  });
});

describe("files", () => {
  it("begins every tensor at a multiple of 32 and fills up with zeros", async () => {
    const path = join(folder, "aligned.gguf");
    const ones = (count: number) => [new Uint8Array(count).fill(1)];
    const fileBytes = await writeGguf(path, new Map([["a", { type: "string", value: "é" }]]), [
      { name: "x", shape: [3], type: "f32", parts: () => ones(12) },
      { name: "y", shape: [2, 32], type: "q8_0", parts: () => [...ones(34), ...ones(34)] },
    ]);
    const file = await readGguf(path);
    expect(file.version).toBe(3);
    expect(file.metadata).toEqual(new Map([["a", "é"]]));
    expect(file.tensors).toEqual(
      new Map([
        ["x", { dimensions: [3], type: 0, offset: 0 }],
        ["y", { dimensions: [32, 2], type: 8, offset: 32 }],
      ]),
    );
    expect(fileBytes).toBe(file.bytes.byteLength);
    expect(file.bytes.byteLength).toBe(file.dataStart + 32 + 96);
    const ends = [...file.bytes.subarray(file.dataStart)];
    expect(ends).toEqual([12, 20, 68, 28].flatMap((count, i) => Array<number>(count).fill(1 - (i % 2))));
  });

  it("leaves no file behind when a tensor has other bytes than it should", async () => {
    const path = join(folder, "broken.gguf");
    const tensor = { name: "x", shape: [2], type: "f32", parts: () => [new Uint8Array(4)] } as const;
    await expect(writeGguf(path, new Map(), [tensor])).rejects.toThrow('"x" got 4 bytes; expected 8');
    await expect(readFile(path)).rejects.toThrow("ENOENT");
    await expect(readFile(`${path}.part`)).rejects.toThrow("ENOENT");
  });
});

describe("the bundled model as GGUF", () => {
  let file: GgufFile;

  beforeAll(async () => {
    const path = join(folder, "tales.gguf");
    const { hasTokenizer } = await exportModel(TALES, path, { type: "bf16" });
    expect(hasTokenizer).toBe(true);
    file = await readGguf(path);
  });

  it("says what the model is", () => {
    const wanted = {
      "general.architecture": "smollm3",
      "general.file_type": 32,
      "smollm3.vocab_size": 2048,
      "smollm3.context_length": 2048,
      "smollm3.embedding_length": 128,
      "smollm3.block_count": 8,
      "smollm3.feed_forward_length": 384,
      "smollm3.attention.head_count": 4,
      "smollm3.attention.head_count_kv": 2,
      "smollm3.rope.dimension_count": 32,
      "smollm3.rope.freq_base": 10_000,
      "smollm3.attention.layer_norm_rms_epsilon": Math.fround(1e-6),
    };
    for (const [key, value] of Object.entries(wanted)) {
      expect(file.metadata.get(key), key).toBe(value);
    }
  });

  it("has the tokenizer", async () => {
    const { metadata } = file;
    const json = JSON.parse(await readFile(join(TALES, "tokenizer.json"), "utf8")) as {
      model: { vocab: Record<string, number>; merges: [string, string][] };
    };
    const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
    expect(tokens).toHaveLength(2048);
    expect(tokens[json.model.vocab["Ġthe"]]).toBe("Ġthe");
    expect(metadata.get("tokenizer.ggml.merges")).toEqual(json.model.merges.map((pair) => pair.join(" ")));
    const types = metadata.get("tokenizer.ggml.token_type") as number[];
    expect(types.slice(0, 3)).toEqual([3, 3, 1]);
    expect(metadata.get("tokenizer.ggml.model")).toBe("gpt2");
    expect(metadata.get("tokenizer.ggml.pre")).toBe("smaug-bpe");
    expect(metadata.get("tokenizer.ggml.bos_token_id")).toBe(0);
    expect(metadata.get("tokenizer.ggml.eos_token_id")).toBe(1);
    expect(metadata.get("tokenizer.ggml.add_bos_token")).toBe(true);
    expect(metadata.get("tokenizer.ggml.add_eos_token")).toBe(false);
    expect(metadata.has("tokenizer.chat_template")).toBe(false);
  });

  it("has the weights, those of query and key with their rows in llama.cpp's order", async () => {
    const { tensors } = await openCheckpoint(TALES);
    const stored = async (name: string): Promise<Buffer> => {
      const { file: path, offset, byteLength } = tensors.get(name)!;
      return Buffer.from(await readFileRange(path, offset, byteLength));
    };
    expect(file.tensors.size).toBe(tensors.size);
    expect(file.tensors.get("blk.3.ffn_up.weight")).toMatchObject({ dimensions: [128, 384], type: 30 });
    expect(file.tensors.get("blk.3.ffn_norm.weight")).toMatchObject({ dimensions: [128], type: 0 });
    const up = await stored("model.layers.3.mlp.up_proj.weight");
    expect(tensorPart(file, "blk.3.ffn_up.weight", 0, up.byteLength).equals(up)).toBe(true);

    const query = await stored("model.layers.3.self_attn.q_proj.weight");
    const row = (index: number) => query.subarray(index * 256, (index + 1) * 256);
    // Head 1 has rows 32 to 63; its first pair is rows 32 and 48.
    const pair = tensorPart(file, "blk.3.attn_q.weight", 32 * 256, 3 * 256);
    expect(pair.equals(Buffer.concat([row(32), row(48), row(33)]))).toBe(true);

    // A norm's bf16 numbers are f32 in the file: the same bits with zeros below.
    const norm = await stored("model.norm.weight");
    const widened = tensorPart(file, "output_norm.weight", 0, 512);
    expect(widened.readUInt32LE(4)).toBe(norm.readUInt16LE(2) * 0x10000);
  });
});

describe("parts", () => {
  it("are the same bytes however small the window is", async () => {
    const plans = planTensors(await openLlamaModel(TALES), { matrices: "q4_0", embeddings: "bf16" });
    const names = ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_down.weight", "output_norm.weight"];
    for (const plan of plans.filter(({ name }) => names.includes(name))) {
      const whole = [...tensorParts(plan)];
      expect(whole).toHaveLength(1);
      // Less than a row, more than a head, and no divisor of the rows.
      for (const windowBytes of [1, 10_000, 3 * 768]) {
        const parts = [...tensorParts(plan, windowBytes)];
        expect(parts.length, plan.name).toBeGreaterThan(plan.shape.length > 1 ? 3 : 0);
        expect(Buffer.concat(parts).equals(Buffer.from(whole[0])), plan.name).toBe(true);
      }
    }
  });
});

describe("other models", () => {
  it("gives a random model a tokenizer of bytes, or another folder's", async () => {
    const model = join(folder, "random");
    const shape = {
      layers: 4,
      hiddenSize: 96,
      heads: 2,
      keyValueHeads: 1,
      intermediateSize: 64,
      vocabSize: 20_000,
      maxPositions: 64,
      ropeTheta: 10_000,
      bosTokenId: 1,
      eosTokenId: 2,
      padTokenId: 0,
    };
    await writeCheckpoint(model, checkpointOfShape(shape), { dtype: "f32", seed: 1 });
    const path = join(folder, "random.gguf");
    expect(await exportModel(model, path, { type: "q8_0", embeddings: "f16" })).toMatchObject({
      hasTokenizer: false,
    });
    const file = await readGguf(path);
    const tokens = file.metadata.get("tokenizer.ggml.tokens") as string[];
    expect(tokens).toHaveLength(20_000);
    expect(tokens.slice(0, 2)).toEqual(["!", '"']);
    expect(tokens.slice(255, 257)).toEqual(["Ń", "[PAD256]"]);
    expect(file.tensors.get("token_embd.weight")).toMatchObject({ type: 1 });
    expect(file.tensors.get("blk.0.attn_v.weight")).toMatchObject({ type: 8 });
    // The embeddings are written in several parts.
    const stored = (await openCheckpoint(model)).tensors.get("model.embed_tokens.weight")!;
    const lastRow = await readFileRange(stored.file, stored.offset + 19_999 * 96 * 4, 96 * 4);
    const written = tensorPart(file, "token_embd.weight", 19_999 * 96 * 2, 96 * 2);
    expect(written.equals(store(new Float32Array(lastRow.buffer), "f16"))).toBe(true);
    expect(file.metadata.get("tokenizer.ggml.eos_token_id")).toBe(2);

    const other = join(folder, "other.gguf");
    await exportModel(model, other, { type: "q4_0", tokenizer: TALES });
    const { metadata } = await readGguf(other);
    const types = metadata.get("tokenizer.ggml.token_type") as number[];
    expect([types[2047], types[2048]]).toEqual([1, 5]);
    // Matrices of 4 layers and the embeddings, at 18 bytes for 32 columns.
    const perLayer = 96 * 96 * 2 + 96 * 48 * 2 + 96 * 64 * 3;
    expect(await bytesPerToken(model, "q4_0")).toBe(((20_000 * 96 + 4 * perLayer) / 32) * 18);
  });

  const changed = async (name: string, change: Record<string, unknown>): Promise<string> => {
    const model = join(folder, name);
    await cp(TALES, model, { recursive: true });
    const path = join(model, "config.json");
    const config = JSON.parse(await readFile(path, "utf8")) as object;
    await writeFile(path, JSON.stringify({ ...config, ...change }));
    return model;
  };
  const exporting = (model: string) => exportModel(model, join(folder, "refused.gguf"), { type: "q4_0" });

  it("refuses what llama.cpp does otherwise", async () => {
    const noRope = await changed("no-rope", { no_rope_layers: [1, 1, 0, 0, 1, 1, 1, 0] });
    await expect(exporting(noRope)).rejects.toThrow("layer 2 has no rotary embedding");
    const linear = await changed("linear", { rope_scaling: { rope_type: "linear", factor: 2 } });
    await expect(exporting(linear)).rejects.toThrow('its RoPE is of the type "linear"');
  });

  it("refuses a tokenizer that is larger than the model's vocabulary", async () => {
    const model = join(folder, "small");
    const shape = { layers: 1, hiddenSize: 64, heads: 2, keyValueHeads: 1, intermediateSize: 64 };
    const ids = { bosTokenId: 1, eosTokenId: 2, padTokenId: 0 };
    const contents = checkpointOfShape({
      ...shape,
      ...ids,
      vocabSize: 128,
      maxPositions: 64,
      ropeTheta: 1e4,
    });
    await writeCheckpoint(model, contents, { dtype: "bf16", seed: 1 });
    const path = join(folder, "refused.gguf");
    await expect(exportModel(model, path, { type: "bf16", tokenizer: TALES })).rejects.toThrow(
      "the model has 128 tokens",
    );
  });

  it("refuses columns that are no whole blocks", async () => {
    const model = join(folder, "odd");
    const contents = checkpointOfShape({
      layers: 1,
      hiddenSize: 48,
      heads: 2,
      keyValueHeads: 1,
      intermediateSize: 64,
      vocabSize: 64,
      maxPositions: 64,
      ropeTheta: 1e4,
      bosTokenId: 1,
      eosTokenId: 2,
      padTokenId: 0,
    });
    await writeCheckpoint(model, contents, { dtype: "bf16", seed: 1 });
    await expect(exporting(model)).rejects.toThrow("has 48 columns; q4_0 needs a multiple of 32");
  });

  it("finds llama.cpp's name of a pre-tokenizer, and refuses one that it has not", () => {
    const byteLevel = (usesRegex: boolean) => ({
      type: "ByteLevel",
      add_prefix_space: false,
      trim_offsets: true,
      use_regex: usesRegex,
    });
    const name = (preTokenizer: object, ignoresMerges = false): string =>
      preTokenizerName({ path: "tokenizer.json", values: { pre_tokenizer: preTokenizer } }, ignoresMerges);
    const digits = { type: "Digits", individual_digits: true };
    expect(name({ type: "Sequence", pretokenizers: [digits, byteLevel(true)] })).toBe("smollm");
    expect(name(byteLevel(true))).toBe("gpt-2");
    expect(() => name(byteLevel(true), true)).toThrow("none of llama-bpe, smaug-bpe, smollm, gpt-2");
    expect(() => name({ type: "Whitespace" })).toThrow("none of");
  });
});
