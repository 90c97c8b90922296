/** Checks the config.json of every family but SmolLM3 (smollm3.test.ts): names, defaults, and what is refused. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryFile } from "../../../test/support/model-files.ts";
import type { BaseConfig } from "../config/base.ts";
import { describeModel } from "../describe-model.ts";

type Values = Record<string, unknown>;

/** Reads the golden config.json of a model with these changes; undefined removes a key. */
async function read(name: string, changes: Values = {}): Promise<BaseConfig & { family: string }> {
  const golden = JSON.parse(readFileSync(join(goldenPath(name), "config.json"), "utf8")) as Values;
  const file = temporaryFile("config.json", JSON.stringify({ ...golden, ...changes }));
  const { family, config } = await describeModel(dirname(file));
  return { family: family.type, ...config };
}

describe("Llama", () => {
  it("rotates every layer; heads, biases and the LM head are as the file says", async () => {
    expect(await read("llama")).toMatchObject({
      family: "llama",
      layers: 5,
      heads: 9,
      kvHeads: 3,
      headDim: 8,
      maxPositions: 8192,
      usesRope: [true, true, true, true, true],
      rope: { type: "default", theta: 1e5 },
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
      eosTokenIds: [2],
    });
    expect(await read("llama3-untied")).toMatchObject({
      headDim: 24,
      tieWordEmbeddings: false,
      attentionBias: true,
      mlpBias: true,
      rope: {
        type: "llama3",
        theta: 1e4,
        factor: 8,
        originalMaxPositions: 64,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
      },
    });
  });

  it("has transformers' defaults for what files leave out", async () => {
    const left = [
      "rope_theta",
      "tie_word_embeddings",
      "num_key_value_heads",
      "head_dim",
      "max_position_embeddings",
    ];
    const without = [...left, "bos_token_id", "eos_token_id", "pad_token_id", "rms_norm_eps"];
    const config = await read("llama", Object.fromEntries(without.map((key) => [key, undefined])));
    expect(config).toMatchObject({
      rope: { type: "default", theta: 1e4 },
      tieWordEmbeddings: false,
      kvHeads: 9,
      headDim: 8,
      maxPositions: 2048,
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: undefined,
      rmsNormEps: 1e-6,
    });
    expect((await read("llama", { eos_token_id: null })).eosTokenIds).toEqual([]);
  });

  it.each<[string, Values, object]>([
    ["linear", { factor: 4 }, { type: "linear", factor: 4 }],
    ["dynamic", { factor: 4 }, { type: "dynamic" }],
    ["yarn", { factor: 4 }, { type: "yarn", factor: 4 }],
  ])("reads %s scaling", async (type, values, rope) => {
    expect(await read("llama", { rope_scaling: { type, ...values } })).toMatchObject({ rope });
  });
});

describe("GPT-2", () => {
  it("reads the names of its class and those of other classes to the same", async () => {
    const config = await read("gpt2");
    expect(config).toMatchObject({
      family: "gpt2",
      hiddenSize: 64,
      intermediateSize: 256,
      layers: 4,
      heads: 4,
      headDim: 16,
      maxPositions: 128,
      activation: "gelu_tanh",
      layerNormEps: 1e-5,
      scalesScores: true,
      scalesScoresByLayer: false,
      tieWordEmbeddings: true,
    });
    const other = {
      n_embd: undefined,
      n_layer: undefined,
      n_head: undefined,
      n_positions: undefined,
      hidden_size: 64,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      max_position_embeddings: 128,
    };
    expect(await read("gpt2", other)).toEqual(config);
    expect(await read("gpt2", { hidden_size: 64 })).toEqual(config);
  });

  it("reads what files may leave out", async () => {
    const changes = { n_inner: 100, scale_attn_weights: false, scale_attn_by_inverse_layer_idx: true };
    expect(await read("gpt2", changes)).toMatchObject({
      intermediateSize: 100,
      scalesScores: false,
      scalesScoresByLayer: true,
    });
    const ids = { vocab_size: 50_257, bos_token_id: undefined, eos_token_id: undefined };
    expect(await read("gpt2", ids)).toMatchObject({ bosTokenId: 50_256, eosTokenIds: [50_256] });
  });
});

describe("GPT-Neo", () => {
  it("expands its attention types", async () => {
    const attentionTypes = ["global", "local", "global", "local"];
    expect(await read("gpt_neo")).toMatchObject({
      family: "gpt_neo",
      layers: 4,
      attentionTypes,
      windowSize: 8,
    });
    const runs = { attention_layers: undefined, attention_types: [[["local"], 1], [["global"], 3]] }; // prettier-ignore
    expect(await read("gpt_neo", runs)).toMatchObject({
      attentionTypes: ["local", "global", "global", "global"],
    });
    const defaults = {
      num_layers: 24,
      attention_layers: undefined,
      attention_types: null,
      window_size: undefined,
    };
    const config = await read("gpt_neo", defaults);
    expect(config).toMatchObject({ windowSize: 256, layers: 24 });
    expect(config).toMatchObject({ attentionTypes: Array(12).fill(["global", "local"]).flat() });
  });
});

describe("GPT-NeoX", () => {
  it("reads its rotation under both names, and whether its halves are side by side", async () => {
    const known = { family: "gpt_neox", rotaryDim: 4, headDim: 16, isParallel: true, activation: "gelu" };
    expect(await read("gpt_neox")).toMatchObject({ ...known, rope: { type: "default", theta: 1e4 } });
    const other = {
      rotary_pct: 0.5,
      rotary_emb_base: 5e4,
      use_parallel_residual: false,
      attention_bias: false,
    };
    expect(await read("gpt_neox", other)).toMatchObject({
      rotaryDim: 8,
      rope: { theta: 5e4 },
      isParallel: false,
      attentionBias: false,
    });
    const left = { rotary_pct: undefined, rotary_emb_base: undefined, eos_token_id: undefined };
    expect(await read("gpt_neox", left)).toMatchObject({
      rotaryDim: 4,
      rope: { theta: 1e4 },
      eosTokenIds: [2],
    });
  });
});

describe("Phi", () => {
  it("rotates half of a head where the file says nothing", async () => {
    const known = { family: "phi", rotaryDim: 8, headDim: 16, heads: 4, kvHeads: 2, activation: "gelu_tanh" };
    expect(await read("phi")).toMatchObject(known);
    expect(await read("phi", { partial_rotary_factor: undefined })).toMatchObject(known);
    expect(await read("phi", { partial_rotary_factor: 0.4, num_key_value_heads: null })).toMatchObject({
      rotaryDim: 6,
      kvHeads: 4,
    });
  });
});

describe("CodeGen", () => {
  it("reads its rotary dimension", async () => {
    expect(await read("codegen")).toMatchObject({
      family: "codegen",
      rotaryDim: 8,
      headDim: 16,
      tieWordEmbeddings: false,
      maxPositions: 128,
    });
  });
});

describe("encoder–decoders", () => {
  it("reads both halves", async () => {
    expect(await read("blenderbot")).toMatchObject({
      family: "blenderbot",
      encoderLayers: 2,
      layers: 3,
      heads: 4,
      headDim: 12,
      maxPositions: 64,
      hiddenSize: 48,
      encoderIntermediateSize: 128,
      intermediateSize: 128,
      activation: "gelu",
      embeddingScale: Math.sqrt(48),
      hasLogitsBias: true,
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: 0,
    });
    expect(await read("blenderbot_small")).toMatchObject({ family: "blenderbot-small" });
    expect(await read("bart")).toMatchObject({ family: "bart", embeddingScale: 1 });
  });

  it("takes the LM head of a base model from its embeddings, without a bias", async () => {
    expect(await read("bart", { architectures: ["BartModel"] })).toMatchObject({ hasLogitsBias: false });
  });
});

describe("generationDefaults", () => {
  it("has what config.json says of generation, and nothing else", async () => {
    const { generationDefaults } = await read("llama", { temperature: 0.5, max_length: null, num_beams: 3 });
    expect(generationDefaults).toEqual({
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: 2,
      settings: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 2, temperature: 0.5, num_beams: 3 },
    });
  });

  it("has what transformers' class says where the file says nothing; null in the file is none", async () => {
    const keys = ["decoder_start_token_id", "forced_eos_token_id", "encoder_no_repeat_ngram_size"];
    const without = Object.fromEntries(keys.map((key) => [key, undefined]));
    expect((await read("blenderbot", without)).generationDefaults.settings).toMatchObject({
      decoder_start_token_id: 1,
      forced_eos_token_id: 2,
      encoder_no_repeat_ngram_size: 3,
    });
    expect((await read("bart", without)).generationDefaults.settings).toMatchObject({
      decoder_start_token_id: 2,
      forced_eos_token_id: 2,
    });
    const { settings } = (await read("bart", { forced_eos_token_id: null })).generationDefaults;
    expect(settings).not.toHaveProperty("forced_eos_token_id");
  });

  it("reads the older name of forced_bos_token_id", async () => {
    const { settings } = (await read("bart", { force_bos_token_to_be_generated: true })).generationDefaults;
    expect(settings).toMatchObject({ forced_bos_token_id: 0 });
  });
});

it.each<[string, string, Values, string]>([
  ["llama", "an activation", { hidden_act: "geglu" }, '"hidden_act" is "geglu"'],
  ["llama", "LongRoPE", { rope_scaling: { type: "longrope" } }, 'RoPE type "longrope" is not supported'],
  [
    "llama",
    "a model with another head",
    { architectures: ["LlamaForSequenceClassification"] },
    'architecture "LlamaForSequenceClassification" is not supported for model_type "llama"; supported: LlamaForCausalLM',
  ],
  ["gpt2", "cross-attention", { add_cross_attention: true }, '"add_cross_attention" is true'],
  [
    "gpt2",
    "an unknown activation",
    { activation_function: "gelu_ne" },
    '"activation_function" is "gelu_ne" (did you mean "gelu_new"?)',
  ],
  [
    "gpt2",
    "a model with two heads",
    { architectures: ["GPT2DoubleHeadsModel"] },
    'architecture "GPT2DoubleHeadsModel" is not supported',
  ],
  ["phi", "norms of queries and keys", { qk_layernorm: true }, '"qk_layernorm" is true'],
  ["codegen", "an activation", { activation_function: "mish" }, '"mish"'],
  ["bart", "heads of two sizes", { decoder_attention_heads: 8 }, "heads of two sizes are not supported"],
  ["bart", "a decoder alone", { is_encoder_decoder: false }, '"is_encoder_decoder" is false'],
  ["bart", "separate embeddings", { tie_word_embeddings: false }, '"tie_word_embeddings" is false'],
  ["bart", "norms in another place", { normalize_before: true }, '"normalize_before" is true'],
  ["blenderbot", "norms in another place", { normalize_before: false }, '"normalize_before" is false'],
  ["blenderbot", "a near miss", { model_type: "blenderbot_small" }, 'did you mean "blenderbot-small"?'],
])("%s: refuses %s by name", async (name, _what, changes, message) => {
  await expect(read(name, changes)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining(message) as string,
  });
});

it.each<[string, string, Values, string]>([
  ["llama", "no size of the MLP", { intermediate_size: undefined }, '"intermediate_size": expected number'],
  ["llama", "absurd heads", { head_dim: 1e9 }, '"head_dim": expected at most 65536, found 1000000000'],
  [
    "llama",
    "absurd heads by their size",
    { hidden_size: 2 ** 20, num_attention_heads: 8, num_key_value_heads: 8, head_dim: null },
    "channels with",
  ],
  ["gpt2", "absurdly many layers", { n_layer: 1e6 }, '"n_layer": expected at most 4096, found 1000000'],
  [
    "gpt2",
    "one thing said twice",
    { hidden_size: 32 },
    '"n_embd" is 64 and "hidden_size", the same thing, 32',
  ],
  ["phi", "key heads that do not divide", { num_key_value_heads: 3 }, 'of "num_key_value_heads", 3'],
  ["gpt2", "heads that do not divide", { n_head: 5 }, '"n_embd" is 64; expected a multiple of "n_head", 5'],
  ["gpt2", "no context", { n_positions: undefined }, '"n_positions": expected number, found nothing'],
  [
    "gpt_neo",
    "too few attention types",
    { attention_types: [[["global"], 2]] },
    '"attention_types" is for 2 layers; expected "num_layers", 4',
  ],
  [
    "gpt_neo",
    "an unknown attention type",
    { attention_types: [[["all"], 4]] },
    'expected "global" or "local"',
  ],
  [
    "gpt_neo",
    "absurdly many attention types",
    {
      attention_types: [
        [["global", "local"], 4096],
        [["global"], 4096],
      ],
      num_layers: 4,
    },
    '"attention_types" is for 12288 layers',
  ],
  [
    "gpt_neo",
    "two lists of attention types",
    { attention_layers: ["global", "global", "global", "global"] },
    '"attention_layers" is not what "attention_types" says',
  ],
  [
    "codegen",
    "heads that make no blocks",
    { n_head: 2, rotary_dim: 8 },
    '"n_head" is 2; expected a multiple of 4',
  ],
  ["codegen", "an odd rotary dimension", { rotary_dim: 7 }, '"rotary_dim" is 7; expected an even number'],
  ["codegen", "a rotary dimension beyond the head", { rotary_dim: 18 }, "at most the head dimension, 16"],
  [
    "bart",
    "heads that do not divide",
    { encoder_attention_heads: 5, decoder_attention_heads: 5 },
    '"d_model" is 48',
  ],
  ["bart", "no decoder", { decoder_layers: undefined }, '"decoder_layers": expected number, found nothing'],
])("%s: refuses %s", async (name, _what, changes, message) => {
  await expect(read(name, changes)).rejects.toMatchObject({
    code: "invalid-config",
    message: expect.stringContaining(message) as string,
  });
});
