/**
 * GPT-Neo (Black et al. 2021): like GPT-2, but every other layer attends to the last `windowSize` positions only, scores
 * are not scaled, and queries, keys and values have no biases. Its configuration is transformers'
 * models/gpt_neo/configuration_gpt_neo.py, whose defaults these are.
 */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { Activation, Program } from "../../runtime/program.ts";
import type { KvState } from "../../runtime/state.ts";
import { readActivation } from "../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim } from "../config/heads.ts";
import {
  count,
  invalidConfig,
  parseConfig,
  positions,
  size,
  withAliases,
  withDefaults,
  type ConfigFile,
  epsilon as epsilonSchema,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";

const TYPE = "gpt_neo";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.wte.weight", "lm_head.weight"];

type AttentionType = "global" | "local";

interface GptNeoConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  /** What each layer attends to: all positions ("global"), or the last `windowSize` ("local"). */
  attentionTypes: AttentionType[];
  windowSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  activation: Activation;
  /** Whether the LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
}

const ALIASES = { num_attention_heads: "num_heads", num_hidden_layers: "num_layers" };

const attentionType = z.literal(["global", "local"], { error: 'expected "global" or "local"' });

const schema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size.nullish(),
  num_layers: count,
  num_heads: count,
  // The attention types are given as runs of layers: [[types, how many times], …].
  attention_types: z
    .array(z.tuple([z.array(attentionType), count]))
    .nullish()
    .transform((runs) => runs ?? ([[["global", "local"], 12]] as [AttentionType[], number][])),
  attention_layers: z.array(attentionType).nullish(),
  window_size: positions.default(256),
  max_position_embeddings: positions,
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  tie_word_embeddings: z.boolean().default(true),
});

function readConfig(given: ConfigFile): GptNeoConfig {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 50_256, eos_token_id: 50_256 });
  const values = parseConfig(file, schema);
  return {
    ...readBase(file, values),
    hiddenSize: values.hidden_size,
    intermediateSize: values.intermediate_size ?? 4 * values.hidden_size,
    layers: values.num_layers,
    attentionTypes: readAttentionTypes(file, values),
    windowSize: values.window_size,
    heads: values.num_heads,
    headDim: readHeadDim(file, ["hidden_size", values.hidden_size], ["num_heads", values.num_heads]),
    layerNormEps: values.layer_norm_epsilon,
    activation: readActivation(file, "activation_function", values.activation_function),
    maxPositions: values.max_position_embeddings,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

function readAttentionTypes(file: ConfigFile, values: z.output<typeof schema>): AttentionType[] {
  const { attention_types: runs, attention_layers: written, num_layers: layers } = values;
  const length = runs.reduce((sum, [types, times]) => sum + types.length * times, 0);
  if (length !== layers) {
    throw invalidConfig(file, `"attention_types" is for ${length} layers; expected "num_layers", ${layers}.`);
  }
  const expanded = runs.flatMap(([types, times]) => Array<AttentionType[]>(times).fill(types).flat());
  if (written && !isDeepStrictEqual(written, expanded)) {
    throw invalidConfig(
      file,
      '"attention_layers" is not what "attention_types" says; expected one of them, or both alike.',
    );
  }
  return expanded;
}

function buildProgram(config: GptNeoConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, headDim, maxPositions } = config;
  const { attentionTypes, windowSize } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  const positions = p.matrix("transformer.wpe.weight", maxPositions, hiddenSize);
  p.group("The embedding tables");
  p.op({ role: "embed", table, output: x });
  p.op({ role: "positions", table: positions, offset: 0, target: x, trace: "embeddings" });

  for (const [layer, type] of attentionTypes.entries()) {
    const name = `transformer.h.${layer}`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.ln_1`, n, { epsilon });
    p.linear(n, `${name}.attn.attention.q_proj`, q, { bias: false });
    p.linear(n, `${name}.attn.attention.k_proj`, k, { bias: false });
    p.linear(n, `${name}.attn.attention.v_proj`, v, { bias: false });
    p.op({ role: "append", key: k, value: v, layer });
    const window = type === "local" ? windowSize : undefined;
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale: 1, window, output: attended });
    p.linear(attended, `${name}.attn.attention.out_proj`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x });

    p.layerNorm(x, `${name}.ln_2`, n, { epsilon });
    p.linear(n, `${name}.mlp.c_fc`, inner, { bias: true });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.c_proj`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    state: attentionTypes.map((type): KvState => {
      const window = type === "local" ? windowSize : undefined;
      return { kind: "kv", kvHeads: heads, keyDim: headDim, valueDim: headDim, window };
    }),
  });
}

export const gptNeo = defineFamily({
  type: TYPE,
  architectures: ["GPTNeoForCausalLM"],
  basePrefix: "transformer.",
  tied: [TABLE, HEAD],
  tokenizerClass: "GPT2Tokenizer",
  published: ["EleutherAI/gpt-neo-125m", "EleutherAI/gpt-neo-1.3B", "EleutherAI/gpt-neo-2.7B"],
  readConfig,
  buildProgram,
});
