/** Checks the config.json of families that are Llama with a difference: what is read of it, defaults, and what is refused. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryFile } from "../../../test/support/model-files.ts";
import { describeModel } from "../describe-model.ts";
import type { Program } from "../../runtime/program.ts";

type Values = Record<string, unknown>;

interface Read {
  config: object;
  program: Program;
  notices: readonly string[];
}

/** Reads the golden config.json of a family with these changes; undefined removes a key. */
async function read(name: string, changes: Values = {}): Promise<Read> {
  const golden = JSON.parse(readFileSync(join(goldenPath(name), "config.json"), "utf8")) as Values;
  const file = temporaryFile("config.json", JSON.stringify({ ...golden, ...changes }));
  return describeModel(dirname(file));
}

const has = async (name: string, changes: Values, expected: object): Promise<void> => {
  expect((await read(name, changes)).config).toMatchObject(expected);
};

describe("Qwen2", () => {
  it("has biases of query, key and value, whatever the file says of biases", async () => {
    const { config, program } = await read("qwen2", { attention_bias: false, mlp_bias: true });
    expect(config).toMatchObject({ attentionBias: true, outputBias: false, mlpBias: false, kvHeads: 1 });
    const biases = [...program.vectors.keys()].filter((name) => /layers\.0\..*bias$/.test(name));
    expect(biases).toEqual(["q", "k", "v"].map((part) => `model.layers.0.self_attn.${part}_proj.bias`));
  });

  it("slides from max_window_layers on where it is asked to, or as layer_types says", async () => {
    await has("qwen2", {}, { windows: [undefined, undefined, 12, 12] });
    const derived = { layer_types: undefined };
    await has("qwen2", derived, { windows: [undefined, undefined, 12, 12] });
    await has("qwen2", { ...derived, max_window_layers: 0 }, { windows: [12, 12, 12, 12] });
    await has("qwen2", { ...derived, max_window_layers: undefined }, { windows: [, , , ,] });
    await has("qwen2", { ...derived, use_sliding_window: false }, { windows: [, , , ,] });
    const types = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"];
    await has("qwen2", { layer_types: types }, { windows: [12, undefined, undefined, 12] });
    await has("qwen2", { layer_types: types, sliding_window: undefined }, { windows: [4096, , , 4096] });
  });
});

describe("Qwen3", () => {
  it("norms heads; heads have 128 channels where the file says nothing", async () => {
    await has("qwen3", {}, { queryKeyNorm: "heads", headDim: 24, windows: [, , , ,] });
    await has("qwen3", { head_dim: undefined }, { headDim: 128 });
    await has("qwen3", { attention_bias: true, mlp_bias: true }, { attentionBias: true, mlpBias: false });
    const { program } = await read("qwen3");
    expect(program.vectors.get("model.layers.0.self_attn.k_norm.weight")).toMatchObject({ length: 24 });
  });
});

describe("Mistral", () => {
  it("slides in every layer or in none; a file that says nothing has a window of 4096", async () => {
    await has("mistral", {}, { windows: [8, 8, 8, 8], headDim: 20 });
    await has("mistral", { sliding_window: null }, { windows: [, , , ,] });
    const left = { sliding_window: undefined, num_key_value_heads: undefined, num_attention_heads: 8 };
    await has("mistral", left, { windows: [4096, 4096, 4096, 4096], kvHeads: 8 });
    const types = Array<string>(4).fill("sliding_attention");
    await has("mistral", { layer_types: types }, { windows: [8, 8, 8, 8] });
  });
});

describe("mixtures of experts", () => {
  const experts = (changes: object): object => ({ experts: changes });
  const refusal = (name: string, changes: Values): Promise<string> =>
    read(name, changes).then(
      () => "nothing",
      (error: unknown) => (error as Error).message,
    );

  it.each(["olmoe", "qwen3_moe", "qwen3_moe-sparse", "mixtral", "gpt_oss", "gpt_oss-plain"])(
    "%s: both spellings are one",
    async (name) => {
      const newer = JSON.parse(readFileSync(join(goldenPath(name), "config.v5.json"), "utf8")) as Values;
      const file = temporaryFile("config.json", JSON.stringify(newer));
      expect((await describeModel(dirname(file))).program).toEqual((await read(name)).program);
    },
  );

  it("OLMoE has its class's defaults, and no bounds of queries, keys and values", async () => {
    const left = { num_experts: undefined, num_experts_per_tok: undefined, norm_topk_prob: undefined };
    await has("olmoe", left, experts({ count: 64, chosen: 8, normalize: false, layers: [true, true, true] }));
    await has("olmoe", { norm_topk_prob: true }, experts({ count: 9, chosen: 3, normalize: true }));
    const alias = { num_experts: undefined, num_local_experts: 5 };
    await has("olmoe", alias, experts({ count: 5, intermediateSize: 40 }));
    expect(await refusal("olmoe", { clip_qkv: 8 })).toContain('"clip_qkv" is 8; bounds of queries, keys');
  });

  it("Qwen3-MoE has them in the layers that its file says", async () => {
    await has("qwen3_moe", {}, experts({ intermediateSize: 48, layers: [true, true, true] }));
    const sparse = [false, true, false, false, false];
    await has("qwen3_moe-sparse", {}, { ...experts({ layers: sparse }), windows: Array(5).fill(12) });
    const all = { mlp_only_layers: null, decoder_sparse_step: undefined };
    await has("qwen3_moe-sparse", all, experts({ layers: Array(5).fill(true) }));
    await has("qwen3_moe-sparse", { use_sliding_window: false }, { windows: [, , , , ,] });
    const left = {
      num_experts: undefined,
      num_local_experts: undefined,
      moe_intermediate_size: undefined,
    };
    await has("qwen3_moe", left, experts({ count: 128, intermediateSize: 768 }));
    const { config } = await read("qwen3_moe", { num_experts: 0, num_local_experts: undefined });
    expect(config).not.toHaveProperty("experts");
  });

  it("gpt-oss has sinks, windows in turn, biases and a clamped gate, and its class's rotation", async () => {
    const own = { count: 5, chosen: 2, normalize: true, hasBias: true, clamp: { alpha: 1.702, limit: 0.75 } };
    await has("gpt_oss", {}, { ...experts(own), hasSinks: true, windows: [7, , 7, ,], attentionBias: true });
    await has("gpt_oss", { layer_types: undefined, sliding_window: undefined }, { windows: [128, , 128, ,] });
    await has("gpt_oss-plain", {}, { windows: [, 7], attentionBias: false });
    const left = { num_local_experts: undefined, num_experts_per_tok: undefined, swiglu_limit: undefined };
    await has("gpt_oss", left, experts({ count: 128, chosen: 4, clamp: { alpha: 1.702, limit: 7 } }));
    const rope = { type: "yarn", factor: 32, originalMaxPositions: 4096, truncate: false };
    await has("gpt_oss", { rope_scaling: null }, { rope: { ...rope, theta: 150_000 } });
    await has("gpt_oss", { quantization_config: { quant_method: "mxfp4" } }, experts({ count: 5 }));
    expect(await refusal("gpt_oss", { quantization_config: { quant_method: "awq" } })).toContain('"awq"');
    expect(await refusal("mixtral", { quantization_config: { quant_method: "mxfp4" } })).toContain('"mxfp4"');
    expect(await refusal("gpt_oss", { hidden_act: "relu" })).toContain('"hidden_act" is "relu"; the experts');
    expect(await refusal("gpt_oss", { swiglu_limit: 0 })).toContain('"swiglu_limit": expected at least');
  });

  it("Mixtral slides in every layer or in none, and its weights add up to 1", async () => {
    await has("mixtral", {}, { ...experts({ count: 4, chosen: 2, normalize: true }), windows: [8, 8, 8] });
    const left = { num_local_experts: undefined, num_experts_per_tok: undefined, sliding_window: undefined };
    await has("mixtral", left, { ...experts({ count: 8, chosen: 2 }), windows: [, , ,] });
    await has("mixtral", { num_local_experts: undefined, num_experts: 3 }, experts({ count: 3 }));
  });

  it("refuses more experts a token than there are, and experts that every token has", async () => {
    expect(await refusal("mixtral", { num_experts_per_tok: 5 })).toContain(
      '"num_experts_per_tok" is 5; expected at most "num_local_experts", 4.',
    );
    expect(await refusal("qwen3_moe", { shared_expert_intermediate_size: 64 })).toContain(
      '"shared_expert_intermediate_size" is 64; experts that every token has (shared experts) are not supported.',
    );
  });
});

describe("OLMo 2", () => {
  it("has norms behind attention and MLP, and none before", async () => {
    const { config, program } = await read("olmo2", { rms_norm_eps: undefined });
    expect(config).toMatchObject({ queryKeyNorm: "projection", rmsNormEps: 1e-5 });
    const norms = [...program.vectors].filter(([name]) => name.includes("layers.0."));
    expect(norms.map(([name, { length }]) => [name.slice("model.layers.0.".length), length])).toEqual([
      ["self_attn.q_norm.weight", 64],
      ["self_attn.k_norm.weight", 32],
      ["post_attention_layernorm.weight", 64],
      ["post_feedforward_layernorm.weight", 64],
    ]);
  });
});

describe("Granite", () => {
  it("has its factors, each 1 where the file says nothing", async () => {
    const scales = { embeddingScale: 1.5, attentionScale: 0.15, residualScale: 0.7, logitsScale: 0.5 };
    await has("granite", {}, { ...scales, attentionBias: true, mlpBias: true });
    const keys = ["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"];
    const ones = { embeddingScale: 1, attentionScale: 1, residualScale: 1, logitsScale: 1 };
    await has("granite", Object.fromEntries(keys.map((key) => [key, undefined])), ones);
  });
});

describe("Phi-3", () => {
  it("rotates a part of a head by LongRoPE's short factors, in contexts that they are for", async () => {
    const { config, program, notices } = await read("phi3");
    expect(config).toMatchObject({
      fused: ["self_attn", "mlp"],
      rotaryDim: 12,
      maxPositions: 128,
      windows: [16, 16, 16, 16],
      rope: {
        type: "longrope",
        theta: 1e4,
        shortFactors: [1, 1.05, 1.1, 1.3, 1.5, 2],
        attentionFactor: Math.sqrt(1 + Math.log(2) / Math.log(128)),
        originalMaxPositions: 128,
      },
    });
    expect(program.maxPositions).toBe(128);
    expect(notices.join()).toContain("a context has 128 positions at most, of the 256");
    for (const type of ["su", "yarn"]) {
      const scaling = { type, short_factor: Array(6).fill(2), long_factor: Array(6).fill(4) };
      await has(
        "phi3",
        { rope_scaling: scaling },
        { rope: { type: "longrope", shortFactors: [2, 2, 2, 2, 2, 2] } },
      );
    }
  });

  it("rotates whole heads of files without scaling, to the end of their positions", async () => {
    const plain = { rope_scaling: null, partial_rotary_factor: undefined, sliding_window: undefined };
    const { config, notices } = await read("phi3", plain);
    expect(config).toMatchObject({ rotaryDim: 16, maxPositions: 256, windows: [, , , ,] });
    expect(config).toMatchObject({ rope: { type: "default", theta: 1e4 } });
    expect(notices).toEqual([]);
  });
});

it.each<[string, string, Values, string]>([
  ["qwen2", "an activation", { hidden_act: "mish" }, '"hidden_act" is "mish"'],
  ["qwen2", "partial RoPE", { partial_rotary_factor: 0.5 }, '"partial_rotary_factor" is 0.5; supported is 1'],
  [
    "qwen3",
    "another kind of attention",
    { layer_types: ["full_attention", "chunked_attention", "full_attention", "full_attention"] },
    '"layer_types" has "chunked_attention" for layer 1',
  ],
  [
    "mistral",
    "layers of two kinds",
    { layer_types: ["full_attention", "sliding_attention", "full_attention", "full_attention"] },
    '"layer_types" has layers without a window',
  ],
  ["granite", "LongRoPE", { rope_scaling: { type: "longrope" } }, 'RoPE type "longrope" is not supported'],
  [
    "phi3",
    "other scaling",
    { rope_scaling: { type: "linear", factor: 2 } },
    'RoPE type "linear" is not supported; supported are "default" and "longrope"',
  ],
])("%s: refuses %s by name", async (name, _what, changes, message) => {
  await expect(read(name, changes)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining(message) as string,
  });
});

it.each<[string, string, Values, string]>([
  ["qwen2", "too few kinds", { layer_types: ["full_attention"] }, '"layer_types" has 1 entries'],
  [
    "qwen3",
    "a sliding layer without a window",
    { layer_types: Array<string>(4).fill("sliding_attention") },
    'layer 0 has sliding attention, but there is no "sliding_window"',
  ],
  ["mistral", "a window of nothing", { sliding_window: 0 }, '"sliding_window": expected at least 1, found 0'],
  ["granite", "a factor of nothing", { residual_multiplier: 0 }, '"residual_multiplier": expected at least'],
  [
    "phi3",
    "factors for other heads",
    { rope_scaling: { type: "longrope", short_factor: [1, 2], long_factor: [1, 2] } },
    '"short_factor" has 2 entries; expected 6',
  ],
  [
    "phi3",
    "half a pair",
    { partial_rotary_factor: 0.7 },
    '"partial_rotary_factor" is 0.7, 11 of 16 channels',
  ],
  [
    "phi3",
    "more than a head",
    { partial_rotary_factor: 2 },
    '"partial_rotary_factor": expected at most 1, found 2',
  ],
])("%s: refuses %s", async (name, _what, changes, message) => {
  await expect(read(name, changes)).rejects.toMatchObject({
    code: "invalid-config",
    message: expect.stringContaining(message) as string,
  });
});
