/** Checks the config.json of decoders with layer norms: what is read of it, defaults, both spellings, and what is refused. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryFile } from "../../../test/support/model-files.ts";
import { FORWARD } from "../../runtime/program.ts";
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

/** Keys that a file may leave out. */
const without = (...keys: string[]): Values => Object.fromEntries(keys.map((key) => [key, undefined]));

/** Names of the vectors that end in "bias", of layer 0 or of no layer. */
const biasesOf = ({ program }: ModelDescription): string[] =>
  [...program.vectors.keys()].filter((name) => name.endsWith("bias") && !/\.[1-9]\d*\./.test(name));

/** What norms of layer 0 and matrices that are added to something read and write, in turn; and what other matrices read. */
function flowOf({ program }: ModelDescription): string[] {
  const ops = program.entries.get(FORWARD)?.find(({ name }) => name === "Layer 0")?.ops ?? [];
  return ops.flatMap((op) => {
    if (op.role === "norm" || (op.role === "linear" && op.accumulate)) {
      return [`${op.input} ${op.role === "norm" ? "->" : "+>"} ${op.output}`];
    }
    return op.role === "linear" ? [op.input] : [];
  });
}

it.each([
  "stablelm",
  "stablelm-parallel",
  "starcoder2",
  "starcoder2-full",
  "gpt_bigcode",
  "gpt_bigcode-heads",
  "gptj",
  "opt",
  "opt-post",
  "falcon",
  "falcon-groups",
  "falcon-heads",
])("%s: both spellings of config.json are the same model", async (name) => {
  const newer = await describeValues(golden(name, "config.v5.json"));
  const older = await read(name);
  expect({ ...newer.config, generationDefaults: {} }).toEqual({ ...older.config, generationDefaults: {} });
  expect(newer.program).toEqual(older.program);
});

describe("StableLM", () => {
  it("has the class's sizes for what a file leaves out", async () => {
    const left = without("partial_rotary_factor", "rope_theta", "layer_norm_eps", "max_position_embeddings");
    await has("stablelm-parallel", left, { rotaryDim: 4, rmsNormEps: 1e-5, maxPositions: 4096 });
    await has("stablelm-parallel", left, { rope: { type: "default", theta: 1e4 } });
    const ids = without("bos_token_id", "eos_token_id", "tie_word_embeddings", "num_key_value_heads");
    await has("stablelm", ids, { bosTokenId: 0, eosTokenIds: [0], tieWordEmbeddings: false, kvHeads: 4 });
    await has("stablelm", { layer_norm_eps: 1e-3 }, { rmsNormEps: 1e-3 });
  });

  it("has biases of query, key and value where it is said, of norms always, of nothing else", async () => {
    const norms = ["input_layernorm", "post_attention_layernorm"].map(
      (name) => `model.layers.0.${name}.bias`,
    );
    const projections = ["q", "k", "v"].map((part) => `model.layers.0.self_attn.${part}_proj.bias`);
    expect(biasesOf(await read("stablelm")).toSorted()).toEqual(
      [...norms, ...projections, "model.norm.bias"].toSorted(),
    );
    const others = { use_qkv_bias: undefined, attention_bias: true, mlp_bias: true };
    expect(biasesOf(await read("stablelm", others)).toSorted()).toEqual([...norms, "model.norm.bias"]);
  });

  it("has one norm a layer where attention and MLP are side by side", async () => {
    const { program } = await read("stablelm", { use_parallel_residual: true });
    expect(program.vectors.has("model.layers.0.input_layernorm.weight")).toBe(true);
    expect(program.vectors.has("model.layers.0.post_attention_layernorm.weight")).toBe(false);
  });
});

describe("StarCoder2", () => {
  it("has the class's values for what a file leaves out", async () => {
    const left = without("hidden_act", "norm_epsilon", "use_bias", "sliding_window", "tie_word_embeddings");
    await has("starcoder2-full", left, {
      activation: "gelu_tanh",
      rmsNormEps: 1e-5,
      tieWordEmbeddings: true,
    });
    await has("starcoder2-full", left, { attentionBias: true, mlpBias: true, windows: [, , , ,] });
    const sizes = without("num_key_value_heads", "max_position_embeddings", "rope_theta", "rope_scaling");
    await has("starcoder2-full", sizes, { kvHeads: 2, maxPositions: 4096 });
    await has("starcoder2-full", sizes, { rope: { type: "default", theta: 1e4 } });
    await has("starcoder2", { norm_epsilon: 1e-3 }, { rmsNormEps: 1e-3 });
  });

  it("slides in every layer or in none", async () => {
    await has("starcoder2", {}, { windows: [8, 8, 8, 8] });
    await has("starcoder2", { sliding_window: null }, { windows: [, , , ,] });
  });

  it("has all biases or those of norms alone", async () => {
    const parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
    const projections = [...parts, "mlp.c_fc", "mlp.c_proj"].map((part) => `model.layers.0.${part}.bias`);
    const norms = ["input_layernorm", "post_attention_layernorm"].map(
      (name) => `model.layers.0.${name}.bias`,
    );
    const all = [...norms, ...projections, "model.norm.bias"];
    expect(biasesOf(await read("starcoder2")).toSorted()).toEqual(all.toSorted());
    const none = await read("starcoder2", { use_bias: false, attention_bias: true, mlp_bias: true });
    expect(biasesOf(none).toSorted()).toEqual([...norms, "model.norm.bias"]);
  });
});

describe("GPT-BigCode", () => {
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

  it("reads the names of its class and those of other classes to the same", async () => {
    expect((await read("gpt_bigcode", other)).config).toEqual((await read("gpt_bigcode")).config);
  });

  it("has the class's values for what a file leaves out", async () => {
    const left = without("activation_function", "layer_norm_epsilon", "scale_attn_weights", "multi_query");
    await has("gpt_bigcode-heads", left, { activation: "gelu_tanh", layerNormEps: 1e-5, kvHeads: 1 });
    const others = without("n_inner", "tie_word_embeddings");
    await has(
      "gpt_bigcode-heads",
      { ...left, ...others },
      { intermediateSize: 256, tieWordEmbeddings: true },
    );
    const ids = { vocab_size: 50_257, ...without("bos_token_id", "eos_token_id") };
    await has("gpt_bigcode", ids, { bosTokenId: 50_256, eosTokenIds: [50_256] });
  });

  it("finds one key head behind all queries, or each behind its own", async () => {
    const rangesOf = async (name: string, part: string): Promise<unknown> =>
      (await read(name)).program.matrices.get(`transformer.h.1.attn.${part}.weight`)?.source;
    const one = { tensor: "transformer.h.1.attn.c_attn.weight", rows: 96 };
    expect(await rangesOf("gpt_bigcode", "query")).toMatchObject({ ...one, ranges: [{ start: 0, end: 64 }] });
    expect(await rangesOf("gpt_bigcode", "value")).toMatchObject({
      ...one,
      ranges: [{ start: 80, end: 96 }],
    });
    const ranges = [16, 64, 112, 160].map((start) => ({ start, end: start + 16 }));
    expect(await rangesOf("gpt_bigcode-heads", "key")).toMatchObject({ rows: 192, ranges });
  });
});

describe("GPT-J", () => {
  it("has the class's values for what a file leaves out", async () => {
    const left = without(
      "rotary_dim",
      "activation_function",
      "layer_norm_epsilon",
      "n_inner",
      "tie_word_embeddings",
    );
    const wide = {
      ...left,
      n_embd: 128,
      n_head: 2,
      vocab_size: 50_257,
      ...without("bos_token_id", "eos_token_id"),
    };
    await has("gptj", wide, {
      rotaryDim: 64,
      activation: "gelu_tanh",
      layerNormEps: 1e-5,
      intermediateSize: 512,
    });
    await has("gptj", wide, { tieWordEmbeddings: false, bosTokenId: 50_256, eosTokenIds: [50_256] });
    const left4 = without("n_embd", "n_layer", "n_head", "n_positions");
    const other = { ...left4, hidden_size: 64, num_hidden_layers: 4, num_attention_heads: 2 };
    const all = { ...other, max_position_embeddings: 128 };
    expect((await read("gptj", all)).config).toEqual((await read("gptj")).config);
    await has("gptj", { n_embd: 60, n_head: 3, rotary_dim: 20 }, { headDim: 20, rotaryDim: 20 });
  });

  it("reads queries and keys with the first channels of their pairs before the second ones", async () => {
    const { matrices, vectors } = (await read("gptj", { rotary_dim: 4 })).program;
    const [query, value] = ["q", "v"].map((part) => matrices.get(`transformer.h.0.attn.${part}_proj.weight`));
    const rows = [0, 2, 1, 3].map((start) => ({ start, end: start + 1 }));
    expect(query?.source?.ranges?.slice(0, 6)).toEqual([
      ...rows,
      { start: 4, end: 32 },
      { start: 32, end: 33 },
    ]);
    expect(value?.source).toBeUndefined();
    expect(vectors.has("lm_head.bias")).toBe(true);
  });

  it("turns pairs of a head's channels alone", async () => {
    await expect(read("gptj", { rotary_dim: 7 })).rejects.toThrow(
      '"rotary_dim" is 7; expected an even number',
    );
    await expect(read("gptj", { rotary_dim: 34 })).rejects.toThrow("at most the head dimension, 32");
  });
});

describe("OPT", () => {
  it("has the class's values for what a file leaves out", async () => {
    const left = without("activation_function", "do_layer_norm_before", "word_embed_proj_dim", "enable_bias");
    await has("opt-post", left, { activation: "relu", normsBefore: true, embeddingSize: 64, hasBias: true });
    await has("opt-post", left, { hasFinalNorm: true });
    await has("opt-post", { word_embed_proj_dim: null }, { embeddingSize: 64, hasFinalNorm: false });
    const ids = without("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings");
    await has("opt", ids, { bosTokenId: 2, eosTokenIds: [2], padTokenId: 1, tieWordEmbeddings: true });
  });

  it("norms the residual before attention and MLP, or what they made of it", async () => {
    const three = Array<string>(3).fill("normed");
    expect(flowOf(await read("opt"))).toEqual([
      "residual -> normed",
      ...three,
      "attended +> residual",
      "residual -> normed",
      "normed",
      "inner +> residual",
    ]);
    expect(flowOf(await read("opt-post"))).toEqual([
      ...Array<string>(3).fill("residual"),
      "attended +> residual",
      "residual -> normed",
      "normed",
      "inner +> normed",
      "normed -> residual",
    ]);
  });

  it("has no last norm in files from before there was one", async () => {
    const { program } = await read("opt", { _remove_final_layer_norm: true });
    expect(program.vectors.has("model.decoder.final_layer_norm.weight")).toBe(false);
    expect(program.vectors.has("model.decoder.layers.3.final_layer_norm.weight")).toBe(true);
    const [group] = program.entries.get(FORWARD)?.slice(-1) ?? [];
    expect(group?.ops).toMatchObject([{ role: "logits", input: "residual" }]);
  });

  it("has positions for max_position_embeddings tokens behind two rows", async () => {
    const { config, program } = await read("opt", { max_position_embeddings: 60 });
    expect(config.maxPositions).toBe(60);
    expect(program.matrices.get("model.decoder.embed_positions.weight")).toMatchObject({ rows: 62 });
  });

  it("has biases of all linear modules of layers or of none", async () => {
    expect(biasesOf(await read("opt"))).toHaveLength(4 + 2 + 3);
    expect(biasesOf(await read("opt", { enable_bias: false }))).toHaveLength(3);
  });
});

describe("Falcon", () => {
  it("has the class's values for what a file leaves out", async () => {
    const left = without("bias", "activation", "layer_norm_epsilon", "tie_word_embeddings", "rope_theta");
    await has("falcon-groups", left, { hasBias: false, activation: "gelu", layerNormEps: 1e-5 });
    await has("falcon-groups", left, { tieWordEmbeddings: true, rope: { type: "default", theta: 1e4 } });
    const sizes = without(
      "ffn_hidden_size",
      "max_position_embeddings",
      "num_kv_heads",
      "bos_token_id",
      "eos_token_id",
    );
    await has("falcon-groups", sizes, { intermediateSize: 256, maxPositions: 2048, kvHeads: 4 });
    await has("falcon-groups", sizes, { bosTokenId: 11, eosTokenIds: [11] });
    const old = without(
      "new_decoder_architecture",
      "multi_query",
      "parallel_attn",
      "alibi",
      "num_ln_in_parallel_attn",
    );
    await has("falcon-groups", old, { kvHeads: 1, norms: "one" });
    const { hidden_size: hiddenSize } = golden("falcon");
    await has("falcon", { hidden_size: undefined, n_embed: hiddenSize }, { hiddenSize: 64 });
  });

  it("has the key heads of its architecture, whatever the file says of others", async () => {
    await has("falcon", { num_kv_heads: 4 }, { kvHeads: 1 });
    await has("falcon", { num_kv_heads: 2, new_decoder_architecture: true }, { kvHeads: 2 });
    await has("falcon-heads", { num_kv_heads: null }, { kvHeads: 4 });
    await has("falcon-groups", { multi_query: false }, { kvHeads: 2 });
  });

  it("has one norm, two side by side or two in turn", async () => {
    const normsOf = async (name: string, changes: Values = {}): Promise<string[]> =>
      [...(await read(name, changes)).program.vectors.keys()]
        .filter((vector) => /^transformer\.h\.0\.[a-z_]*\.weight$/.test(vector))
        .map((vector) => vector.split(".")[3]);
    expect(await normsOf("falcon")).toEqual(["input_layernorm"]);
    expect(await normsOf("falcon-groups")).toEqual(["ln_attn", "ln_mlp"]);
    expect(await normsOf("falcon-groups", { num_ln_in_parallel_attn: null })).toEqual(["ln_attn", "ln_mlp"]);
    expect(await normsOf("falcon-groups", { num_ln_in_parallel_attn: 1 })).toEqual(["input_layernorm"]);
    expect(await normsOf("falcon-heads")).toEqual(["input_layernorm", "post_attention_layernorm"]);
  });

  it("gives the MLP the norm of attention, one of its own, or one of the sum", async () => {
    const [n, m] = ["attention.normed", "mlp.normed"];
    const attention = [n, n, n, "attended +> residual"];
    expect(flowOf(await read("falcon"))).toEqual([`residual -> ${n}`, ...attention, n, "inner +> residual"]);
    const two = [`residual -> ${n}`, `residual -> ${m}`, ...attention, m, "inner +> residual"];
    expect(flowOf(await read("falcon-groups"))).toEqual(two);
    const inTurn = [`residual -> ${n}`, ...attention, `residual -> ${m}`, m, "inner +> residual"];
    expect(flowOf(await read("falcon-heads"))).toEqual(inTurn);
  });

  it("finds a group's queries, its key and its value behind each other", async () => {
    const { matrices } = (await read("falcon-groups")).program;
    const rangesOf = (part: string): unknown =>
      matrices.get(`transformer.h.0.self_attention.${part}.weight`)?.source?.ranges;
    expect(rangesOf("query")).toEqual([
      { start: 0, end: 32 },
      { start: 64, end: 96 },
    ]);
    expect(rangesOf("key")).toEqual([
      { start: 32, end: 48 },
      { start: 96, end: 112 },
    ]);
    expect(rangesOf("value")).toEqual([
      { start: 48, end: 64 },
      { start: 112, end: 128 },
    ]);
  });

  it.each<[string, Values, string]>([
    ["falcon-heads", { num_kv_heads: 2 }, '"num_kv_heads" is 2 where "multi_query" is not true; expected'],
    [
      "falcon-groups",
      { num_kv_heads: 3 },
      '"num_attention_heads" is 4; expected a multiple of "num_kv_heads", 3',
    ],
    ["falcon", { hidden_size: 60 }, "15 of 15 channels; RoPE turns pairs"],
  ])("%s: refuses %j", async (name, changes, message) => {
    await expect(read(name, changes)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining(message) as string,
    });
  });
});

it.each<[string, string, Values, string]>([
  ["falcon-groups", "sublayers in turn", { parallel_attn: false }, '"parallel_attn" is not true in the new'],
  ["falcon-groups", "more norms", { num_ln_in_parallel_attn: 3 }, 'attn" is 3; supported is 1 or 2.'],
  ["falcon", "two norms", { num_ln_in_parallel_attn: 2 }, 'attn" is 2; supported is 1, where "new_decoder'],
  [
    "opt",
    "norms without weights",
    { layer_norm_elementwise_affine: false },
    '"layer_norm_elementwise_affine" is false',
  ],
  ["gpt_bigcode", "cross-attention", { add_cross_attention: true }, '"add_cross_attention" is true'],
  [
    "stablelm",
    "norms of heads",
    { qk_layernorm: true },
    '"qk_layernorm" is true; norms whose weights differ',
  ],
])("%s: refuses %s by name", async (name, _what, changes, message) => {
  await expect(read(name, changes)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining(message) as string,
  });
});
