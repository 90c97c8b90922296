/** Families whose scores have biases by distance: their slopes and buckets, what config.json says, and what is refused. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryFile } from "../../../test/support/model-files.ts";
import { ENCODE, FORWARD, type AttentionOp, type ScoreBias } from "../../runtime/program.ts";
import { describeModel, type ModelDescription } from "../describe-model.ts";
import { alibiSlopes, mptSlopes } from "./shared/alibi.ts";
import { relativeBuckets } from "./shared/relative-buckets.ts";

type Values = Record<string, unknown>;

const golden = (name: string, file = "config.json"): Values =>
  JSON.parse(readFileSync(join(goldenPath(name), file), "utf8")) as Values;

const describeValues = (values: Values): Promise<ModelDescription> =>
  describeModel(dirname(temporaryFile("config.json", JSON.stringify(values))));

/** Reads the golden config.json of a family with these changes; undefined removes a key. */
const read = (name: string, changes: Values = {}): Promise<ModelDescription> =>
  describeValues({ ...golden(name), ...changes });

const attentionsOf = ({ program }: ModelDescription, entry = FORWARD): AttentionOp[] =>
  (program.entries.get(entry) ?? []).flatMap(({ ops }) => ops.filter((op) => op.role === "attention"));

const biasOf = (model: ModelDescription): ScoreBias | undefined => attentionsOf(model)[0]?.bias;

it.each(["falcon-alibi", "bloom", "bloom-post", "mpt", "mpt-scaled", "t5", "t5-gated", "mt5", "umt5"])(
  "%s: both spellings of config.json are the same model",
  async (name) => {
    const newer = await describeValues(golden(name, "config.v5.json"));
    const older = await read(name);
    const plain = { generationDefaults: {}, isUntied: undefined };
    expect({ ...newer.config, ...plain }).toEqual({ ...older.config, ...plain });
    expect(newer.program).toEqual(older.program);
  },
);

describe("slopes", () => {
  it("are powers of one number for 2^k heads", () => {
    expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i));
    expect(alibiSlopes(1)).toEqual([2 ** -8]);
    expect(mptSlopes(4, 8)).toEqual([2, 4, 6, 8].map((i) => 2 ** -i));
    expect(mptSlopes(4, 16)).toEqual([4, 8, 12, 16].map((i) => 2 ** -i));
  });

  // By BLOOM's _get_alibi_slopes and MPT's build_mpt_alibi_tensor (transformers 5.24), to an ulp of f32.
  it.each([
    ["BLOOM", alibiSlopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]],
    [
      "BLOOM",
      alibiSlopes(12).slice(8),
      [0.7071067690849304, 0.3535533845424652, 0.1767766922712326, 0.0883883461356163],
    ],
    ["MPT", mptSlopes(5, 8), [0.25, 0.0625, 0.015625, 0.00390625, 0.5]],
    ["MPT", mptSlopes(3, 8), [0.0625, 0.00390625, 0.25]],
  ])("%s: of other numbers of heads", (_, found, expected) => {
    expect(found).toHaveLength(expected.length);
    for (const [i, slope] of expected.entries()) {
      expect(Math.abs((found[i] ?? 0) / slope - 1)).toBeLessThanOrEqual(2 ** -23);
    }
  });
});

// By T5Attention._relative_position_bucket (transformers 5.24); beyond, all are the last one.
describe("buckets", () => {
  /** Distances from 0 on at which another bucket begins. */
  const borders = (buckets: readonly number[]): number[] =>
    buckets.flatMap((bucket, i) => (i > 0 && bucket !== buckets[i - 1] ? [i] : []));

  it("of the encoder are for both directions", () => {
    const all = relativeBuckets({ buckets: 32, maxDistance: 128, isBidirectional: true });
    expect(all).toHaveLength(257);
    const before = all.slice(0, 129).reverse();
    expect(borders(before)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]);
    expect(before.at(-1)).toBe(15);
    expect(all.slice(128).map((bucket, i) => (i === 0 ? bucket : bucket - 16))).toEqual(before);
  });

  it("of the decoder are for what is before", () => {
    const all = relativeBuckets({ buckets: 32, maxDistance: 128, isBidirectional: false });
    const before = all.slice(0, 129).reverse();
    expect(borders(before)).toEqual([
      ...Array.from({ length: 16 }, (_, i) => i + 1),
      ...[19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113],
    ]);
    expect(all.slice(128)).toEqual(new Array(129).fill(0));
  });
});

describe("BLOOM", () => {
  it("has the class's values for what a file leaves out, and both names of its sizes", async () => {
    const { config } = await read("bloom", {
      hidden_size: undefined,
      n_layer: undefined,
      n_head: undefined,
      n_embed: 72,
      num_hidden_layers: 4,
      num_attention_heads: 6,
      seq_length: undefined,
      layer_norm_epsilon: undefined,
      tie_word_embeddings: undefined,
      bos_token_id: undefined,
    });
    expect(config).toMatchObject({ hiddenSize: 72, layers: 4, heads: 6, maxPositions: 2048, bosTokenId: 1 });
  });

  it("has biases that grow with distance and no rotation", async () => {
    const model = await read("bloom");
    expect(biasOf(model)).toEqual({ kind: "linear", slopes: alibiSlopes(6) });
    expect(model.program.ropes).toEqual([]);
  });
});

describe("Falcon RW", () => {
  it("has biases as transformers rounds them, and heads of any size", async () => {
    const model = await read("falcon-alibi", { hidden_size: 54, ffn_hidden_size: null });
    expect(biasOf(model)).toEqual({ kind: "rounded", slopes: alibiSlopes(6), scale: 9 ** -0.5 });
    expect(model.program.ropes).toEqual([]);
    expect(biasOf(await read("falcon-alibi", { alibi: false }))).toBeUndefined();
  });
});

describe("MPT", () => {
  it("has the class's values for what a file leaves out", async () => {
    const model = await read("mpt-scaled", { attn_config: null, max_seq_len: undefined });
    expect(model.config).toMatchObject({ scale: 0.25, biasMax: 8, maxPositions: 2048 });
  });

  // transformers passes over it; the model's own code does not, and models are trained with it.
  it("has the slopes that the file asks for", async () => {
    const model = await read("mpt-scaled", { attn_config: { alibi_bias_max: 16 } });
    expect(biasOf(model)).toEqual({ kind: "linear", slopes: mptSlopes(4, 16) });
  });

  it.each([
    [{ attn_config: { clip_qkv: 6 } }, '"attn_config.clip_qkv" is 6; supported is null'],
    [{ attn_config: { alibi: false } }, '"attn_config.alibi" is false; supported is true'],
    [{ attn_config: { qk_ln: true } }, '"attn_config.qk_ln" is true'],
    [{ attn_config: { prefix_lm: true } }, '"attn_config.prefix_lm" is true'],
    [
      { attn_config: { attn_type: "multiquery_attention" } },
      '"attn_config.attn_type" is "multiquery_attention"',
    ],
    [{ expansion_ratio: 2 }, '"expansion_ratio" is 2; supported is 4'],
    [{ logit_scale: "inv_sqrt_d_model" }, '"logit_scale" is "inv_sqrt_d_model"'],
    [{ no_bias: false }, '"no_bias" is false'],
  ])("%o is refused", async (changes, message) => {
    await expect(read("mpt", changes)).rejects.toMatchObject({ code: "unsupported" });
    await expect(read("mpt", changes)).rejects.toThrow(message);
  });
});

describe("T5", () => {
  it("has the classes' values for what a file leaves out", async () => {
    const t5 = await describeValues({ model_type: "t5" });
    expect(t5.config).toMatchObject({ vocabSize: 32_128, hiddenSize: 512, headDim: 64, layers: 6, heads: 8 });
    expect(t5.config).toMatchObject({ isGated: false, activation: "relu", buckets: 32, maxDistance: 128 });
    expect(t5.config.generationDefaults).toMatchObject({ decoderStartTokenId: 0 });
    const mt5 = await describeValues({ model_type: "mt5", num_decoder_layers: 3 });
    expect(mt5.config).toMatchObject({ vocabSize: 250_112, layers: 3, encoderLayers: 8, heads: 6 });
    expect(mt5.config).toMatchObject({ isGated: true, activation: "gelu_tanh" });
  });

  it("scales logits unless the file unties them, mT5 never", async () => {
    const scale = 48 ** -0.5;
    const of = async (name: string, changes: Values): Promise<unknown> => (await read(name, changes)).config;
    expect(await of("t5", {})).toMatchObject({ logitsScale: scale });
    expect(await of("t5", { tie_word_embeddings: undefined })).toMatchObject({ logitsScale: scale });
    expect(await of("t5", { tie_word_embeddings: false })).toMatchObject({ logitsScale: 1 });
    const newer = { tie_word_embeddings: true, scale_decoder_outputs: false };
    expect(await of("t5", newer)).toMatchObject({ logitsScale: 1 });
    expect(await of("mt5", { tie_word_embeddings: true })).toMatchObject({ logitsScale: 1 });
    expect(await of("umt5", { tie_word_embeddings: true })).toMatchObject({ logitsScale: scale });
  });

  it("has the first layer's biases in all layers, UMT5 each layer's own, cross-attention none", async () => {
    const tensors = async (name: string): Promise<(string | undefined)[]> => {
      const model = await read(name);
      const all = [...attentionsOf(model, ENCODE), ...attentionsOf(model)];
      return all.map(({ bias }) =>
        bias?.kind === "table" ? model.program.vectors.get(bias.table)?.source?.tensor : undefined,
      );
    };
    const name = (stack: string, block: number): string =>
      `${stack}.block.${block}.layer.0.SelfAttention.relative_attention_bias.weight`;
    const [encoder, decoder] = [name("encoder", 0), name("decoder", 0)];
    expect(await tensors("t5")).toEqual([encoder, encoder, encoder, decoder, undefined, decoder, undefined]);
    expect(await tensors("umt5")).toEqual([
      ...[0, 1, 2].map((block) => name("encoder", block)),
      ...[0, 1].flatMap((block) => [name("decoder", block), undefined]),
    ]);
  });

  it.each([
    [{ feed_forward_proj: "gated-gelu-new" }, "invalid-config", '"feed_forward_proj" is "gated-gelu-new"'],
    [{ feed_forward_proj: "quick-gelu" }, "invalid-config", 'or "gated-" and one'],
    [{ feed_forward_proj: "mish" }, "unsupported", '"feed_forward_proj" is "mish"'],
    [{ is_encoder_decoder: false }, "unsupported", '"is_encoder_decoder" is false'],
    [{ relative_attention_num_buckets: 18 }, "invalid-config", "expected a multiple of 4"],
    [{ relative_attention_max_distance: 8 }, "invalid-config", "a distance larger than half of it"],
  ])("%o is refused", async (changes, code, message) => {
    await expect(read("t5", changes)).rejects.toMatchObject({ code });
    await expect(read("t5", changes)).rejects.toThrow(message);
  });
});
