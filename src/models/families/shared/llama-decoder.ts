/**
 * Llama's decoder (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): pre-norm with RMSNorm (Zhang & Sennrich
 * 2019), rotary positions, grouped-query attention (Ainslie et al. 2023) and SwiGLU. Other families differ by a line or
 * two of their configuration (transformers: models/llama/configuration_llama.py and those copied from it).
 */
import { z } from "zod";
import type { Activation, Name, Program, RopeTable } from "../../../runtime/program.ts";
import { kvLayers } from "../../../runtime/state.ts";
import { readActivation } from "../../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../../config/base.ts";
import type { ExpertsConfig } from "../../config/experts.ts";
import { readHeadDim, readKvHeads } from "../../config/heads.ts";
import {
  readRopeParameters,
  readRotaryDim,
  type RopeKinds,
  type RopeParameters,
} from "../../config/rope-parameters.ts";
import {
  count,
  headSize,
  invalidConfig,
  positions,
  size,
  type ConfigFile,
  epsilon as epsilonSchema,
} from "../../config/schema.ts";
import type { ExpertModules } from "../../expert-tensors.ts";
import { addMixture, mixtureBuffers } from "./mixture.ts";
import { projectionSource } from "./llama-projections.ts";
import { ModuleBuilder } from "./module-builder.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["model.embed_tokens.weight", "lm_head.weight"];
export const LLAMA_TIED = [TABLE, HEAD] as const;

/** The configuration of a decoder like Llama's. */
export interface LlamaDecoderConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  /** Number of query heads. */
  heads: number;
  /** Number of key heads and of value heads; it divides `heads`. */
  kvHeads: number;
  headDim: number;
  /** Of the MLP's gate, or of the MLP where it has none. */
  activation: Activation;
  rmsNormEps: number;
  rope: RopeParameters;
  /** RoPE of the layers with a window, where it is another. */
  localRope?: RopeParameters;
  /** Whether a layer rotates queries and keys, one a layer: false for those without positional encoding (NoPE). */
  usesRope: boolean[];
  /** Whether the LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
  attentionBias: boolean;
  /** Whether heads have sinks, self_attn.sinks (`AttentionOp`). Default false. */
  hasSinks?: boolean;
  /** Whether the output of attention has a bias; absent: as `attentionBias` says. */
  outputBias?: boolean;
  mlpBias: boolean;
  /** Mixtures of experts in the place of MLPs, and what files call their parts; absent: there are none. */
  experts?: ExpertsConfig & { modules: ExpertModules };
  /** The two modules of an MLP without a gate; absent: it has one. */
  plainMlp?: readonly [string, string];
  /** Norms of queries and keys before they are rotated: of each head by itself, or of the whole projection. */
  queryKeyNorm?: "heads" | "projection";
  /** The norms around the two sublayers; absent: Llama's, before each. */
  norms?: { attention: SublayerNorms; mlp: SublayerNorms };
  /** What all norms are: RMSNorm or LayerNorm. Default RMSNorm. */
  normKind?: "rms" | "layer";
  /** Whether all norms, layer norms then, have a bias. Default false. */
  normBias?: boolean;
  /** What is added to the weights of all norms. Default 0. */
  normOffset?: number;
  /** Whether the MLP reads what attention reads, the same norm of the residual, instead of a norm of the sum. */
  isParallel?: boolean;
  /** How many of the last positions a layer attends to, one a layer; undefined: all. */
  windows?: readonly (number | undefined)[];
  /** How many channels of a head, the first ones, are rotated; absent: all. */
  rotaryDim?: number;
  /** Whether neighbouring channels are turned together, instead of those that are half of the rotated ones apart. */
  isInterleaved?: boolean;
  /** Where query, key and value are one module of the checkpoint (`qkv_proj`), where gate and up are one (`gate_up_proj`). */
  fused?: readonly ("self_attn" | "mlp")[];
  /** Factor of the embeddings. Default 1. */
  embeddingScale?: number;
  /** Factor of the scores. Default headDim^-½. */
  attentionScale?: number;
  /** Factor of what a sublayer adds to the residual. Default 1. */
  residualScale?: number;
  /** Factor of the logits. Default 1. */
  logitsScale?: number;
  /** Soft cap of the scores; undefined: none. */
  attentionCap?: number;
  /** Soft cap of the logits; undefined: none. */
  logitsCap?: number;
}

/** Names of the norms of a sublayer's input and of its output. */
export interface SublayerNorms {
  before?: string;
  after?: string;
}

const LLAMA_NORMS = {
  attention: { before: "input_layernorm" },
  mlp: { before: "post_attention_layernorm" },
} satisfies LlamaDecoderConfig["norms"];

/** The keys of config.json. Those that transformers writes into every file are required: a default would hide damage. */
export const llamaDecoderSchema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: headSize.nullish(),
  hidden_act: z.string().default("silu"),
  rms_norm_eps: epsilonSchema.default(1e-6),
  max_position_embeddings: positions,
  tie_word_embeddings: z.boolean(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

interface ReadOptions {
  usesRope?: boolean[];
  defaultTheta: number;
  ropeKinds?: RopeKinds;
  rope?: RopeParameters;
  activationKey?: string;
}

/**
 * The configuration of a decoder like Llama's from the values of its config.json.
 *
 * @param options.usesRope whether each layer rotates queries and keys: false for layers without positional encoding;
 *   absent: all do
 * @param options.defaultTheta the base of RoPE where the file has none
 * @param options.ropeKinds what the file's RoPE may be; absent: what Llama's may
 * @param options.rope the RoPE, where the file has more than one; absent: it is read
 * @param options.activationKey the key that `hidden_act` comes from, for errors
 * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what the decoder does not do
 */
export function readLlamaDecoder(
  file: ConfigFile,
  values: z.output<typeof llamaDecoderSchema>,
  { usesRope, defaultTheta, ropeKinds, rope, activationKey = "hidden_act" }: ReadOptions,
): LlamaDecoderConfig {
  const heads = values.num_attention_heads;
  const kvHeads = readKvHeads(file, values);
  const headDim =
    values.head_dim ??
    readHeadDim(
      file,
      ["hidden_size", values.hidden_size],
      ["num_attention_heads", values.num_attention_heads],
      ', or a "head_dim"',
    );
  if (headDim % 2 !== 0 && usesRope?.includes(true) !== false) {
    throw invalidConfig(
      file,
      `the head dimension is ${headDim}; RoPE turns pairs of channels: expected an even number.`,
    );
  }
  return {
    ...readBase(file, values),
    hiddenSize: values.hidden_size,
    intermediateSize: values.intermediate_size,
    layers: values.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    activation: readActivation(file, activationKey, values.hidden_act),
    rmsNormEps: values.rms_norm_eps,
    maxPositions: values.max_position_embeddings,
    rope: rope ?? readRopeParameters(file, defaultTheta, ropeKinds),
    ...(ropeKinds?.isPartial && { rotaryDim: readRotaryDim(file, headDim) }),
    usesRope: usesRope ?? Array<boolean>(values.num_hidden_layers).fill(true),
    tieWordEmbeddings: values.tie_word_embeddings,
    attentionBias: values.attention_bias,
    mlpBias: values.mlp_bias,
  };
}

/**
 * The forward pass of a decoder like Llama's.
 *
 * Factors cost nothing: that of the scores is attention's; that of the logits is in the gain of the last norm; and a
 * residual whose additions have a factor is held divided by it, which no norm notices whose epsilon is divided by its
 * square. What a trace reports of the residual is divided too.
 *
 * @param family the Program's `family`
 * @param separate as for `FamilyDefinition.buildProgram`
 */
export function buildLlamaDecoder(
  family: string,
  config: LlamaDecoderConfig,
  separate: ReadonlySet<string>,
): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim, maxPositions } = config;
  const { norms = LLAMA_NORMS, queryKeyNorm, residualScale = 1, logitsScale = 1, localRope } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", heads * headDim);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", heads * headDim);
  const { plainMlp } = config;
  const branch = p.buffer("branch", hiddenSize);
  /** What query and key are before their norms. */
  const [projectedQ, projectedK] =
    queryKeyNorm === undefined
      ? [q, k]
      : [p.buffer("query.projected", heads * headDim), p.buffer("key.projected", kvHeads * headDim)];

  const mixture = config.experts === undefined ? undefined : mixtureBuffers(p, config.experts);
  const mlp = { bias: config.mlpBias };
  const epsilon = config.rmsNormEps;
  const residualEpsilon = epsilon / residualScale ** 2;
  const { normKind = "rms", normBias, normOffset = 0 } = config;
  const normOptions = { kind: normKind, bias: normBias, gain: { scale: 1, offset: normOffset } };

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  const scale = (config.embeddingScale ?? 1) / residualScale;
  p.op({ role: "embed", table, scale, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.layers.${layer}`;
    const window = config.windows?.[layer];
    p.group(`Layer ${layer}`);
    const norm = (input: Name, module: string, output: Name, of = { epsilon, heads: 1 }): void => {
      p.norm(input, `${name}.${module}`, output, { ...of, ...normOptions });
    };
    const sublayer = (
      { before, after }: SublayerNorms,
      branchOf: (input: Name) => void,
      trace?: string,
    ): void => {
      if (before !== undefined) {
        norm(x, before, n, { epsilon: residualEpsilon, heads: 1 });
      }
      branchOf(before === undefined && config.isParallel !== true ? x : n);
      if (after !== undefined) {
        norm(branch, after, n);
      }
      p.op({ role: "add", input: after === undefined ? branch : n, target: x, trace });
    };
    const project = (module: string, part: string, input: Name, output: Name): void => {
      const from = projectionSource(config, layer, name, part);
      const bias = module === "mlp" ? config.mlpBias : config.attentionBias;
      p.linear(input, `${name}.${module}.${part}`, output, { bias, from });
    };

    sublayer(norms.attention, (input) => {
      project("self_attn", "q_proj", input, projectedQ);
      project("self_attn", "k_proj", input, projectedK);
      project("self_attn", "v_proj", input, v);
      if (queryKeyNorm !== undefined) {
        const [ofQueries, ofKeys] = queryKeyNorm === "heads" ? [heads, kvHeads] : [1, 1];
        norm(projectedQ, "self_attn.q_norm", q, { epsilon, heads: ofQueries });
        norm(projectedK, "self_attn.k_norm", k, { epsilon, heads: ofKeys });
      }
      if (config.usesRope[layer]) {
        const table = localRope !== undefined && window !== undefined ? 1 : 0;
        p.op({ role: "rope", table, buffer: q, heads, headDim });
        p.op({ role: "rope", table, buffer: k, heads: kvHeads, headDim });
      }
      p.op({ role: "append", key: k, value: v, layer });
      p.op({
        role: "attention",
        over: "past",
        query: q,
        layer,
        heads,
        scale: config.attentionScale ?? headDim ** -0.5,
        softCap: config.attentionCap,
        sinks: config.hasSinks === true ? p.vector(`${name}.self_attn.sinks`, heads) : undefined,
        window,
        output: attended,
      });
      const bias = config.outputBias ?? config.attentionBias;
      p.linear(attended, `${name}.self_attn.o_proj`, branch, { bias });
    });
    const mlpOf = (input: Name): void => {
      const { activation } = config;
      if (mixture !== undefined && config.experts?.layers[layer] === true) {
        const buffers = { ...mixture, input, output: branch, trace: `layers.${layer}.routes` };
        addMixture(p, name, { ...config.experts, activation }, buffers);
        return;
      }
      if (plainMlp !== undefined) {
        const [first, second] = plainMlp;
        const inner = p.buffer("inner", intermediateSize);
        p.linear(input, `${name}.mlp.${first}`, inner, mlp);
        p.op({ role: "activate", activation, input: inner, output: inner });
        p.linear(inner, `${name}.mlp.${second}`, branch, mlp);
        return;
      }
      const [gate, up] = [p.buffer("gate", intermediateSize), p.buffer("up", intermediateSize)];
      project("mlp", "gate_proj", input, gate);
      project("mlp", "up_proj", input, up);
      p.op({ role: "gate", activation, gate, up, output: gate });
      p.linear(gate, `${name}.mlp.down_proj`, branch, mlp);
    };
    sublayer(norms.mlp, mlpOf, `layers.${layer}`);
  }

  p.group("The language-model head");
  const gain = { scale: logitsScale, offset: logitsScale * normOffset };
  p.norm(x, "model.norm", n, { ...normOptions, epsilon: residualEpsilon, gain, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head, softCap: config.logitsCap });

  const rope = [config.rope, ...(localRope === undefined ? [] : [localRope])].map((parameters): RopeTable => {
    const rotaryDim = config.rotaryDim ?? headDim;
    const { inverseFrequencies, attentionScaling } = ropeFrequencies(parameters, rotaryDim, maxPositions);
    return { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling };
  });
  return p.build({
    family,
    vocabSize,
    maxPositions,
    rope,
    state: kvLayers(config.layers, { kvHeads, headDim }),
  });
}
