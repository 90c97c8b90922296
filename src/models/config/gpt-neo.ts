/** GPT-Neo's config.json (transformers: models/gpt_neo/configuration_gpt_neo.py, whose defaults these are). */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { Activation } from "../../runtime/program.ts";
import { readActivation } from "./activation.ts";
import { baseSchema, readBase, type BaseConfig } from "./base.ts";
import { readHeadDim } from "./head-dim.ts";
import {
  count,
  invalidConfig,
  parseConfig,
  size,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "./schema.ts";

type AttentionType = "global" | "local";

export interface GptNeoConfig extends BaseConfig {
  family: "gpt_neo";
  hiddenSize: number;
  intermediateSize: number;
  /** One a layer: all positions, or the last `windowSize`. */
  attentionTypes: AttentionType[];
  windowSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  activation: Activation;
  /** The LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
}

const ALIASES = { num_attention_heads: "num_heads", num_hidden_layers: "num_layers" };

const attentionType = z.literal(["global", "local"], { error: 'expected "global" or "local"' });

const schema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size.nullish(),
  num_layers: count,
  num_heads: count,
  // Runs of layers: [[types, how many times], …].
  attention_types: z
    .array(z.tuple([z.array(attentionType), count]))
    .nullish()
    .transform((runs) => runs ?? ([[["global", "local"], 12]] as [AttentionType[], number][])),
  attention_layers: z.array(attentionType).nullish(),
  window_size: size.default(256),
  max_position_embeddings: size,
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  tie_word_embeddings: z.boolean().default(true),
});

/** Throws "invalid-config" for wrong values and "unsupported" for what GPT-Neo could have but this program has not. */
export function readGptNeoConfig(given: ConfigFile): GptNeoConfig {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 50_256, eos_token_id: 50_256 });
  const values = parseConfig(file, schema);
  return {
    family: "gpt_neo",
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
