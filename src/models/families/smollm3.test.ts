import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryDirectory, temporaryFile } from "../../../test/support/model-files.ts";
import { sharedPath } from "../../../test/support/shared.ts";
import { readConfigFile } from "../config/schema.ts";
import { describeModel } from "../describe-model.ts";
import type { LlamaDecoderConfig } from "./shared/llama-decoder.ts";
import { smollm3 } from "./smollm3.ts";
import { FAMILIES } from "./table.ts";

type Values = Record<string, unknown>;

const golden = JSON.parse(readFileSync(join(goldenPath("smollm3"), "config.json"), "utf8")) as Values;

/** The types that an error for another one names. */
const TYPES = FAMILIES.map(({ type }) => type)
  .toSorted()
  .join(", ");

/** Reads a config.json that is the golden one with these changes; undefined removes a key. */
function readWith(changes: Values, base = golden): Promise<LlamaDecoderConfig> {
  return readSmolLM3(dirname(temporaryFile("config.json", JSON.stringify({ ...base, ...changes }))));
}

async function readSmolLM3(directory: string): Promise<LlamaDecoderConfig> {
  const { family } = await describeModel(directory);
  expect(family).toBe(smollm3);
  return smollm3.readConfig(await readConfigFile(join(directory, "config.json")));
}

/** The golden configuration without its RoPE and NoPE keys. */
const bare = Object.fromEntries(
  Object.entries(golden).filter(([key]) => !/rope|^layer_types$|^tie_word/.test(key)),
);

describe("SmolLM3's config.json", () => {
  it("reads the golden configuration", async () => {
    expect(await readSmolLM3(goldenPath("smollm3"))).toEqual({
      vocabSize: 512,
      hiddenSize: 64,
      intermediateSize: 176,
      layers: 8,
      heads: 8,
      kvHeads: 2,
      headDim: 8,
      activation: "silu",
      rmsNormEps: 1e-6,
      maxPositions: 65_536,
      rope: { type: "default", theta: 5e6 },
      usesRope: [true, true, true, false, true, true, true, false],
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
      bosTokenId: 0,
      eosTokenIds: [2],
      padTokenId: 1,
      generationDefaults: {
        bosTokenId: 0,
        eosTokenIds: [2],
        padTokenId: 1,
        settings: { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 },
      },
    });
  });

  it.each(["smollm3", "smollm3-yarn"])(
    "reads the spelling of transformers 5 to the same (%s)",
    async (name) => {
      const directory = temporaryDirectory();
      writeFileSync(join(directory, "config.json"), readFileSync(join(goldenPath(name), "config.v5.json")));
      expect(await readSmolLM3(directory)).toEqual(await readSmolLM3(goldenPath(name)));
    },
  );

  it("reads YaRN", async () => {
    const { rope } = await readSmolLM3(goldenPath("smollm3-yarn"));
    expect(rope).toEqual({
      type: "yarn",
      theta: 10_000,
      factor: 2,
      originalMaxPositions: 32,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
    });
    const all = {
      type: "yarn",
      factor: 4,
      original_max_position_embeddings: 1024,
      attention_factor: 1.5,
      mscale: 0.7,
      mscale_all_dim: 0.8,
      beta_fast: 16,
      beta_slow: 2,
      truncate: false,
    };
    expect((await readWith({ rope_scaling: all })).rope).toEqual({
      type: "yarn",
      theta: 5e6,
      factor: 4,
      originalMaxPositions: 1024,
      attentionFactor: 1.5,
      mscale: 0.7,
      mscaleAllDim: 0.8,
      betaFast: 16,
      betaSlow: 2,
      truncate: false,
    });
    const outer = await readWith({ rope_scaling: all, original_max_position_embeddings: 512 });
    expect(outer.rope).toMatchObject({ originalMaxPositions: 512 });
  });

  it.skipIf(!sharedPath("smollm3/config.json"))("reads SmolLM3-3B's own file", async () => {
    const config = await readSmolLM3(dirname(sharedPath("smollm3/config.json")!));
    expect(config).toMatchObject({ layers: 36, heads: 16, kvHeads: 4, headDim: 128, eosTokenIds: [128_012] });
    expect(config).toMatchObject({ rope: { type: "default", theta: 5e6 }, tieWordEmbeddings: true });
    expect(config.usesRope.filter((uses) => !uses)).toHaveLength(9);
  });

  it("has transformers' defaults for what files leave out", async () => {
    const config = await readWith({}, bare);
    expect(config.tieWordEmbeddings).toBe(true);
    expect(config.rope).toEqual({ type: "default", theta: 2e6 });
    expect(config.usesRope).toEqual([true, true, true, false, true, true, true, false]);
    expect((await readWith({ no_rope_layer_interval: 3 }, bare)).usesRope).toEqual(
      [1, 1, 0, 1, 1, 0, 1, 1].map((flag) => flag === 1),
    );
    expect((await readWith({ no_rope_layers: null, num_key_value_heads: null })).kvHeads).toBe(8);
    const without = await readWith({ eos_token_id: null, bos_token_id: undefined, pad_token_id: -1 });
    expect(without.eosTokenIds).toEqual([]);
    expect([without.bosTokenId, without.padTokenId]).toEqual([undefined, undefined]);
  });

  it("takes a head_dim, biases, an untied head and a list of eos tokens from the file", async () => {
    const changes = {
      head_dim: 24,
      attention_bias: true,
      mlp_bias: true,
      tie_word_embeddings: false,
      eos_token_id: [5, 6, 5],
    };
    expect(await readWith(changes)).toMatchObject({
      headDim: 24,
      attentionBias: true,
      mlpBias: true,
      tieWordEmbeddings: false,
      eosTokenIds: [5, 6],
    });
  });

  it("accepts what both spellings say when they agree", async () => {
    const scaling = { rope_type: "yarn", factor: 2, original_max_position_embeddings: 32 };
    const { rope } = await readWith({ rope_scaling: scaling, rope_parameters: { ...scaling } });
    expect(rope).toMatchObject({ type: "yarn", theta: 5e6, factor: 2 });
  });

  it.each<[string, Values, string]>([
    ["sliding windows", { use_sliding_window: true }, '"use_sliding_window" is true'],
    [
      "other attention",
      { layer_types: [...Array<string>(7).fill("full_attention"), "sliding_attention"] },
      '"layer_types" has "sliding_attention" for layer 7; supported is "full_attention"',
    ],
    ["other activations", { hidden_act: "mish" }, '"hidden_act" is "mish"; supported are silu, swish, relu'],
    ...["longrope", "proportional"].map((type): [string, Values, string] => [
      `RoPE type ${type}`,
      { rope_scaling: { type, factor: 2 } },
      `RoPE type "${type}" is not supported`,
    ]),
    ["partial RoPE", { partial_rotary_factor: 0.5 }, '"partial_rotary_factor" is 0.5; supported is 1'],
    ["quantized weights", { quantization_config: { quant_method: "awq" } }, 'method "awq"'],
    ["another family", { model_type: "mamba" }, `model_type "mamba" is not supported; supported: ${TYPES}.`],
    ["a near miss", { model_type: "smollm" }, 'did you mean "smollm3"?'],
    [
      "another head",
      { architectures: ["SmolLM3ForSequenceClassification"] },
      'architecture "SmolLM3ForSequenceClassification" is not supported for model_type "smollm3"; ' +
        "supported: SmolLM3ForCausalLM",
    ],
  ])("refuses %s by name", async (_what, changes, message) => {
    await expect(readWith(changes)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(message) as string,
    });
    await expect(readWith(changes)).rejects.toThrow("config.json");
  });

  it.each<[string, Values, string]>([
    ["no model_type", { model_type: undefined }, `no "model_type"; expected one of ${TYPES}`],
    ["a model_type of the wrong type", { model_type: 3 }, '"model_type" is 3; expected a string'],
    ["architectures of the wrong type", { architectures: "x" }, '"architectures" is "x"; expected a list'],
    ["a missing size", { hidden_size: undefined }, '"hidden_size": expected number, found nothing'],
    ["a size in quotes", { hidden_size: "64" }, '"hidden_size": expected number, found "64"'],
    ["a fraction of a layer", { num_hidden_layers: 1.5 }, '"num_hidden_layers": expected integer, found 1.5'],
    ["no layers", { num_hidden_layers: 0 }, '"num_hidden_layers": expected at least 1, found 0'],
    ["a negative vocabulary", { vocab_size: -5 }, '"vocab_size": expected at least 1, found -5'],
    ["absurd sizes", { intermediate_size: 1e12 }, '"intermediate_size": expected at most 1048576'],
    ["an epsilon of 0", { rms_norm_eps: 0 }, '"rms_norm_eps": expected at least 1.175'],
    ["an absurd vocabulary", { vocab_size: 2 ** 22 + 1 }, '"vocab_size": expected at most 4194304'],
    ["absurdly many heads", { num_attention_heads: 4097 }, '"num_attention_heads": expected at most 4096'],
    [
      "an epsilon beyond all activations",
      { rms_norm_eps: 1e300 },
      '"rms_norm_eps": expected at most 1, found 1e+300',
    ],
    ["a flag that is none", { mlp_bias: 1 }, '"mlp_bias": expected boolean, found 1'],
    ["several at once", { vocab_size: 0, hidden_act: 5 }, "; "],
    [
      "heads that do not divide",
      { num_key_value_heads: 3 },
      'expected a multiple of "num_key_value_heads", 3',
    ],
    ["more KV heads than heads", { num_key_value_heads: 16 }, '"num_attention_heads" is 8'],
    ["an uneven head dimension", { hidden_size: 60 }, '"hidden_size" is 60; expected a multiple of'],
    ["an odd head dimension", { head_dim: 7 }, "the head dimension is 7"],
    [
      "a short no_rope_layers",
      { no_rope_layers: [1, 0] },
      '"no_rope_layers" has 2 entries; expected "num_hidden_layers", 8',
    ],
    ["a strange no_rope_layers", { no_rope_layers: [1, 2] }, '"no_rope_layers.1": expected 0 or 1, found 2'],
    [
      "an interval of 0",
      { no_rope_layers: null, no_rope_layer_interval: 0 },
      '"no_rope_layer_interval": expected at least 1',
    ],
    ["short layer_types", { layer_types: ["full_attention"] }, '"layer_types" has 1 entries'],
    [
      "an eos token of the wrong type",
      { eos_token_id: "</s>" },
      '"eos_token_id": expected a token id (integer >= 0) or a list of them, found "</s>"',
    ],
    [
      "an epsilon that drowns every layer",
      { rms_norm_eps: 1e300 },
      '"rms_norm_eps": expected at most 1, found 1e+300',
    ],
    ["a base beyond every context", { rope_theta: 1e13 }, '"rope_theta": expected at most 1000000000000'],
    ["a negative theta", { rope_theta: -1 }, '"rope_theta": expected more than 1, found -1'],
    [
      "two thetas",
      { rope_parameters: { rope_theta: 1e4 } },
      '"rope_theta" is given twice, as 5000000 and as 10000',
    ],
    [
      "a rope_scaling that is no object",
      { rope_scaling: 2 },
      '"rope_scaling" is 2; expected an object or null',
    ],
    [
      "an unknown RoPE type",
      { rope_scaling: { type: "yarm", factor: 2 } },
      '"rope_scaling" has type "yarm"; expected one of "default", "linear"',
    ],
    ["a factor without a type", { rope_scaling: { factor: 2 } }, 'has a "factor" but no "rope_type"'],
    ["two RoPE types", { rope_scaling: { type: "yarn", rope_type: "default" } }, "expected one type"],
    [
      "two RoPE objects",
      { rope_scaling: { type: "yarn", factor: 2 }, rope_parameters: { rope_type: "default" } },
      '"rope_parameters" and "rope_scaling" are both there and differ',
    ],
    [
      "YaRN without factor",
      { rope_scaling: { type: "yarn" } },
      '"rope_scaling": "factor": expected number, found nothing',
    ],
    [
      "a YaRN factor below 1",
      { rope_scaling: { type: "yarn", factor: 0.5 } },
      '"factor": expected at least 1, found 0.5',
    ],
    [
      "linear scaling without factor",
      { rope_scaling: { type: "linear" } },
      '"rope_scaling": "factor": expected number, found nothing',
    ],
    [
      "dynamic scaling below 1",
      { rope_scaling: { type: "dynamic", factor: 0.5 } },
      '"factor": expected at least 1, found 0.5',
    ],
    [
      "Llama 3 scaling without its factors",
      { rope_scaling: { rope_type: "llama3", factor: 8 } },
      '"low_freq_factor": expected number, found nothing',
    ],
    [
      "Llama 3 factors the wrong way round",
      { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
      '"high_freq_factor" is 4; expected more than "low_freq_factor", 4',
    ],
    [
      "YaRN betas the wrong way round",
      { rope_scaling: { type: "yarn", factor: 2, beta_fast: 1, beta_slow: 2 } },
      '"beta_fast" is 1; expected at least "beta_slow", 2',
    ],
  ])("refuses %s", async (_what, changes, message) => {
    await expect(readWith(changes)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining(message) as string,
    });
    await expect(readWith(changes)).rejects.toThrow("config.json");
  });

  it("needs the file to be there and to be JSON", async () => {
    await expect(describeModel(temporaryDirectory())).rejects.toMatchObject({ code: "not-found" });
    await expect(describeModel(dirname(temporaryFile("config.json", "{")))).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining("cannot be parsed as JSON") as string,
    });
  });
});
