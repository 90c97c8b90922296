/**
 * Checks the config.json of families with layers of two kinds and of those with other norms and rotations: what is read of it,
 * defaults, both spellings, and what is refused.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryFile } from "../../../test/support/model-files.ts";
import { FORWARD, type Op } from "../../runtime/program.ts";
import { describeModel, type ModelDescription } from "../describe-model.ts";

type Values = Record<string, unknown>;

const golden = (name: string, file = "config.json"): Values =>
  JSON.parse(readFileSync(join(goldenPath(name), file), "utf8")) as Values;

const describeValues = (values: Values): Promise<ModelDescription> =>
  describeModel(dirname(temporaryFile("config.json", JSON.stringify(values))));

/** Reads the golden config.json of a family with these changes; undefined removes a key. */
const read = (name: string, changes: Values = {}): Promise<ModelDescription> =>
  describeValues({ ...golden(name), ...changes });

const has = async (name: string, changes: Values, expected: object): Promise<void> => {
  expect((await read(name, changes)).config).toMatchObject(expected);
};

/** The ops of a role, of all layers. */
const opsOf = <R extends Op["role"]>({ program }: ModelDescription, role: R): Extract<Op, { role: R }>[] =>
  [...(program.entries.get(FORWARD) ?? [])]
    .flatMap(({ ops }) => ops)
    .filter((op): op is Extract<Op, { role: R }> => op.role === role);

it.each([
  "gemma",
  "gemma2",
  "gemma3",
  "gemma3_text",
  "olmo3",
  "ministral",
  "ministral3",
  "mistral3",
  "cohere",
  "cohere2",
  "glm",
  "glm4",
  "exaone4",
])("%s: both spellings of config.json are the same model", async (name) => {
  const newer = await describeValues(golden(name, "config.v5.json"));
  const older = await read(name);
  expect({ ...newer.config, generationDefaults: {} }).toEqual({ ...older.config, generationDefaults: {} });
});

describe("Gemma", () => {
  it("takes the first files' gelu for its approximation, and has its class's sizes", async () => {
    await has("gemma", { hidden_act: "gelu" }, { activation: "gelu_tanh", normOffset: 1, embeddingScale: 8 });
    const left = { hidden_act: undefined, head_dim: undefined, tie_word_embeddings: undefined };
    await has("gemma", left, { activation: "gelu_tanh", headDim: 256, tieWordEmbeddings: true });
    const { program } = await read("gemma");
    expect(program.vectors.get("model.norm.weight")?.affine).toEqual({ scale: 1, offset: 1 });
    expect(program.vectors.get("model.layers.0.input_layernorm.weight")?.affine).toEqual({
      scale: 1,
      offset: 1,
    });
  });

  it("2 slides in every other layer and has soft caps; null is none", async () => {
    await has("gemma2", { layer_types: undefined }, { windows: [8, undefined, 8, undefined] });
    await has("gemma2", { sliding_window: undefined }, { windows: [4096, , 4096, ,] });
    const left = { attn_logit_softcapping: undefined, final_logit_softcapping: undefined };
    await has("gemma2", left, { attentionCap: 50, logitsCap: 30, attentionScale: 24 ** -0.5 });
    const none = await read("gemma2", { attn_logit_softcapping: null, final_logit_softcapping: null });
    expect(none.config).toMatchObject({ attentionCap: undefined, logitsCap: undefined });
    const scores = opsOf(await read("gemma2"), "attention").map(({ softCap, window }) => [softCap, window]);
    expect(scores).toEqual([
      [1.5, 8],
      [1.5, undefined],
      [1.5, 8],
      [1.5, undefined],
    ]);
  });

  it("3 has frequencies of their own for layers with a window, whatever the spelling", async () => {
    const local = { type: "default", theta: 1000 };
    const rope = { type: "linear", theta: 1e6, factor: 2 };
    await has("gemma3_text", {}, { rope, localRope: local, windows: [12, 12, undefined, 12] });
    expect(opsOf(await read("gemma3_text"), "rope").map(({ table }) => table)).toEqual([
      1, 1, 1, 1, 0, 0, 1, 1,
    ]);
    const left = { rope_theta: undefined, rope_local_base_freq: undefined, rope_scaling: undefined };
    const defaults = {
      rope: { type: "default", theta: 1e6 },
      localRope: { type: "default", theta: 1e4 },
    };
    await has("gemma3_text", left, defaults);
    // Objects for the kinds; a base beside them is that of the kind which has none, a scaling that of the other layers.
    const nested = { full_attention: { rope_type: "default" }, sliding_attention: null };
    const mixed = {
      ...left,
      rope_parameters: nested,
      rope_theta: 5e5,
      rope_scaling: { rope_type: "linear", factor: 4 },
    };
    await has("gemma3_text", mixed, {
      rope: { type: "linear", theta: 5e5, factor: 4 },
      localRope: { type: "default", theta: 1e4 },
    });
  });

  it("3 slides five times of six where the file says nothing; soft caps of scores are Gemma 2's", async () => {
    const left = { layer_types: undefined, sliding_window_pattern: undefined, num_hidden_layers: 7 };
    await has("gemma3_text", left, { windows: [12, 12, 12, 12, 12, undefined, 12] });
    await has("gemma3_text", { final_logit_softcapping: 20 }, { logitsCap: 20 });
    const { config } = await read("gemma3_text", { attn_logit_softcapping: 20 });
    expect(config).not.toHaveProperty("attentionCap");
  });

  it("3 with images is its language model, which may leave out what its class says", async () => {
    const { config, notices } = await read("gemma3", {
      eos_token_id: [1, 106],
      text_config: {
        model_type: "gemma3_text",
        hidden_size: 64,
        intermediate_size: 96,
        num_hidden_layers: 2,
      },
    });
    expect(config).toMatchObject({
      vocabSize: 262_208,
      heads: 8,
      kvHeads: 4,
      headDim: 256,
      eosTokenIds: [1, 106],
    });
    expect(notices.join()).toContain("its language model is used, the rest is left out");
  });
});

describe("OLMo 3", () => {
  it("scales the frequencies of layers without a window alone", async () => {
    await has("olmo3", {}, { localRope: { type: "default", theta: 5e5 }, windows: [8, 8, 8, undefined] });
    expect((await read("olmo3")).config).toMatchObject({ rope: { type: "yarn", theta: 5e5, factor: 2 } });
    await has("olmo3", { rope_theta: 7e4 }, { rope: { theta: 7e4 }, localRope: { theta: 7e4 } });
    await has("olmo3", { layer_types: undefined }, { windows: [8, 8, 8, undefined] });
  });
});

describe("Ministral", () => {
  it("may slide layer by layer", async () => {
    await has("ministral", {}, { windows: [undefined, 8, 8, undefined] });
    await has("ministral", { layer_types: undefined }, { windows: [8, 8, 8, 8] });
    await has("ministral", { layer_types: undefined, sliding_window: null }, { windows: [, , , ,] });
  });

  it("3 ends where its queries would be scaled, and says so", async () => {
    const { config, notices } = await read("ministral3");
    expect(config.maxPositions).toBe(128);
    expect(notices.join()).toContain("a context has 128 positions at most, of the 256");
    const scaling = golden("ministral3")["rope_scaling"] as Values;
    await has("ministral3", { rope_scaling: { ...scaling, llama_4_scaling_beta: 0 } }, { maxPositions: 256 });
    const without = { rope_scaling: undefined, rope_theta: undefined, max_position_embeddings: undefined };
    await has("ministral3", without, {
      maxPositions: 16_384,
      rope: { type: "yarn", theta: 1e6, factor: 16, betaFast: 32 },
    });
  });

  it("3 with images may be a Mistral", async () => {
    const text = golden("mistral3")["text_config"] as Values;
    const mistral = { ...text, model_type: "mistral", rope_scaling: null, sliding_window: null };
    const { config, program } = await read("mistral3", { text_config: mistral });
    expect(config).toMatchObject({ maxPositions: 256, rope: { type: "default", theta: 1e4 } });
    expect(program.family).toBe("mistral3");
  });
});

describe("Cohere", () => {
  it("norms by LayerNorm without bias, once a layer, and scales logits in the last gain", async () => {
    const model = await read("cohere", { logit_scale: undefined });
    const norms = opsOf(model, "norm");
    expect(norms.map(({ kind, bias }) => [kind, bias])).toEqual(Array(5).fill(["layer", undefined]));
    expect(model.program.vectors.get("model.norm.weight")?.affine).toEqual({ scale: 0.0625, offset: 0 });
    expect(model.config).toMatchObject({ rmsNormEps: 1e-5, isParallel: true, rope: { theta: 1e4 } });
    await has("cohere", { rope_theta: undefined }, { rope: { theta: 5e5 } });
  });

  it("takes the first of all pairs of neighbouring rows, then the second, head by head", async () => {
    const { program } = await read("cohere");
    const { source } = program.matrices.get("model.layers.0.self_attn.k_proj.weight") ?? {};
    expect(source?.ranges?.map(({ start }) => start)).toEqual([
      ...[0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15],
      ...[16, 18, 20, 22, 24, 26, 28, 30, 17, 19, 21, 23, 25, 27, 29, 31],
    ]);
    expect(program.vectors.get("model.layers.0.self_attn.k_proj.bias")?.source?.ranges).toEqual(
      source?.ranges,
    );
    expect(program.matrices.get("model.layers.0.self_attn.v_proj.weight")?.source).toBeUndefined();
  });

  it("2 has no positions in layers without a window", async () => {
    await has("cohere2", {}, { usesRope: [true, false, true, false], windows: [8, , 8, ,] });
    await has(
      "cohere2",
      { layer_types: undefined, sliding_window_pattern: undefined },
      {
        usesRope: [true, true, true, false],
      },
    );
    expect(opsOf(await read("cohere2"), "rope")).toHaveLength(4);
  });
});

describe("GLM-4", () => {
  it("rotates half of a head, and has gate and up in one tensor", async () => {
    await has("glm", { partial_rotary_factor: undefined }, { rotaryDim: 12, outputBias: false });
    await has("glm", { partial_rotary_factor: 1 }, { rotaryDim: 24 });
    const { program } = await read("glm");
    const sourceOf = (name: string) => program.matrices.get(`model.layers.0.${name}.weight`)?.source;
    expect(sourceOf("mlp.up_proj")).toEqual({
      tensor: "model.layers.0.mlp.gate_up_proj.weight",
      rows: 288,
      ranges: [{ start: 144, end: 288 }],
      transposed: undefined,
    });
    expect(sourceOf("self_attn.k_proj")?.ranges?.at(-1)).toEqual({ start: 12, end: 24 });
    expect(sourceOf("self_attn.o_proj")).toBeUndefined();
  });
});

describe("EXAONE 4", () => {
  it("has no positions in layers without a window, where others have one", async () => {
    const windows = [8, 8, 8, undefined];
    const usesRope = [true, true, true, false];
    await has("exaone4", {}, { windows, usesRope, queryKeyNorm: "heads" });
    await has("exaone4", { layer_types: undefined }, { windows, usesRope });
    await has("exaone4", { layer_types: undefined, sliding_window_pattern: "LG" }, { windows: [8, , 8, ,] });
    const none = { layer_types: undefined, sliding_window: null, sliding_window_pattern: null };
    await has("exaone4", none, { windows: [, , , ,], usesRope: [true, true, true, true] });
  });
});

describe("what is refused", () => {
  it.each<[string, Values, string]>([
    ["gemma", { use_bidirectional_attention: true }, '"use_bidirectional_attention" is true'],
    ["gemma3_text", { use_bidirectional_attention: true }, '"use_bidirectional_attention" is true'],
    ["gemma2", { hidden_activation: "mish" }, '"hidden_activation" is "mish"'],
    ["gemma2", { layer_types: ["chunked_attention", "a", "b", "c"] }, '"chunked_attention" for layer 0'],
    ["gemma3", { text_config: null }, '"text_config" is null; expected an object'],
    [
      "gemma3_text",
      { rope_parameters: { full_attention: 3 } },
      'has 3 for "full_attention"; expected an object',
    ],
    ["olmo3", { sliding_window: null }, 'layer 0 has sliding attention, but there is no "sliding_window"'],
    ["cohere", { use_qk_norm: true }, '"use_qk_norm" is true'],
    ["mistral3", { text_config: { model_type: "llama" } }, '"text_config" has model_type "llama"'],
    ["glm", { partial_rotary_factor: 0.3 }, '"partial_rotary_factor" is 0.3, 7 of 24 channels'],
  ])("%s: %j", async (name, changes, message) => {
    await expect(read(name, changes)).rejects.toThrow(message);
  });
});
