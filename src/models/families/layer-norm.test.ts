/** Checks the config.json of decoders with layer norms: what is read of it, defaults, both spellings, and what is refused. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryFile } from "../../../test/support/model-files.ts";
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

it.each(["stablelm", "stablelm-parallel"])(
  "%s: both spellings of config.json are the same model",
  async (name) => {
    const newer = await describeValues(golden(name, "config.v5.json"));
    const older = await read(name);
    expect({ ...newer.config, generationDefaults: {} }).toEqual({ ...older.config, generationDefaults: {} });
    expect(newer.program).toEqual(older.program);
  },
);

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

it.each<[string, string, Values, string]>([
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
