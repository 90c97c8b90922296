/** The SmolLM3 shapes that benchmarks and CI use, and what follows from a shape: tensor list and config files. */
import type { CheckpointContents, TensorSpec } from "./contents.ts";

/** The dimensions of a SmolLM3. */
export interface CheckpointShape {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly ropeTheta: number;
  readonly bosTokenId: number;
  readonly eosTokenId: number;
  readonly padTokenId: number;
}

const ROPE = { maxPositions: 65536, ropeTheta: 5_000_000 };

export const CHECKPOINT_SHAPES = {
  /** The shape of HuggingFaceTB/SmolLM3-3B. */
  "smollm3-3b": {
    ...ROPE,
    layers: 36,
    hiddenSize: 2048,
    heads: 16,
    keyValueHeads: 4,
    intermediateSize: 11008,
    vocabSize: 128256,
    bosTokenId: 128000,
    eosTokenId: 128012,
    padTokenId: 128004,
  },
  /**
   * A sixteenth as wide as smollm3-3b, and as deep: shows what each token costs outside the kernels. About 24 MB in
   * bf16.
   */
  "smollm3-narrow": {
    ...ROPE,
    layers: 36,
    hiddenSize: 128,
    heads: 4,
    keyValueHeads: 1,
    intermediateSize: 688,
    vocabSize: 8016,
    bosTokenId: 1,
    eosTokenId: 2,
    padTokenId: 0,
  },
  /** SmolLM2-135M's dimensions with SmolLM3's architecture. */
  "smollm3-135m": {
    ...ROPE,
    layers: 30,
    hiddenSize: 576,
    heads: 9,
    keyValueHeads: 3,
    intermediateSize: 1536,
    vocabSize: 49152,
    bosTokenId: 1,
    eosTokenId: 2,
    padTokenId: 2,
  },
  /** A shape for CI: eight layers, so that two of them have no rotary embedding; about 3.5 MB in bf16. */
  "smollm3-tiny": {
    ...ROPE,
    layers: 8,
    hiddenSize: 128,
    heads: 4,
    keyValueHeads: 2,
    intermediateSize: 352,
    vocabSize: 2048,
    bosTokenId: 1,
    eosTokenId: 2,
    padTokenId: 0,
  },
} as const satisfies Readonly<Record<string, CheckpointShape>>;

/** Every fourth layer of SmolLM3 has no rotary embedding (NoPE). */
const NO_ROPE_LAYER_INTERVAL = 4;

/** What a checkpoint of the shape holds. */
export function checkpointOfShape(shape: CheckpointShape): CheckpointContents {
  return {
    tensors: checkpointTensors(shape),
    width: shape.hiddenSize,
    config: (torchDtype) => checkpointConfig(shape, torchDtype),
    generationConfig: checkpointGenerationConfig(shape),
  };
}

/** All tensors of a shape in the order of the forward pass. The LM head is tied, so there is none. */
export function checkpointTensors(shape: CheckpointShape): TensorSpec[] {
  const { hiddenSize: hidden, intermediateSize: intermediate } = shape;
  const keyValueSize = (hidden / shape.heads) * shape.keyValueHeads;
  const norm = (name: string): TensorSpec => ({ name, shape: [hidden], kind: "norm" });
  const matrix = (name: string, rows: number, columns: number): TensorSpec => ({
    name,
    shape: [rows, columns],
    kind: "matrix",
  });

  const tensors = [matrix("model.embed_tokens.weight", shape.vocabSize, hidden)];
  for (let layer = 0; layer < shape.layers; layer++) {
    const prefix = `model.layers.${layer}`;
    tensors.push(
      norm(`${prefix}.input_layernorm.weight`),
      matrix(`${prefix}.self_attn.q_proj.weight`, hidden, hidden),
      matrix(`${prefix}.self_attn.k_proj.weight`, keyValueSize, hidden),
      matrix(`${prefix}.self_attn.v_proj.weight`, keyValueSize, hidden),
      matrix(`${prefix}.self_attn.o_proj.weight`, hidden, hidden),
      norm(`${prefix}.post_attention_layernorm.weight`),
      matrix(`${prefix}.mlp.gate_proj.weight`, intermediate, hidden),
      matrix(`${prefix}.mlp.up_proj.weight`, intermediate, hidden),
      matrix(`${prefix}.mlp.down_proj.weight`, hidden, intermediate),
    );
  }
  tensors.push(norm("model.norm.weight"));
  return tensors;
}

/** `config.json` as hub files of SmolLM3 spell it (rope_theta, torch_dtype; tied embeddings are not mentioned). */
function checkpointConfig(shape: CheckpointShape, torchDtype: string): Record<string, unknown> {
  return {
    architectures: ["SmolLM3ForCausalLM"],
    attention_bias: false,
    attention_dropout: 0,
    bos_token_id: shape.bosTokenId,
    eos_token_id: shape.eosTokenId,
    hidden_act: "silu",
    hidden_size: shape.hiddenSize,
    initializer_range: 0.02,
    intermediate_size: shape.intermediateSize,
    layer_types: Array.from({ length: shape.layers }, () => "full_attention"),
    max_position_embeddings: shape.maxPositions,
    mlp_bias: false,
    model_type: "smollm3",
    no_rope_layer_interval: NO_ROPE_LAYER_INTERVAL,
    no_rope_layers: Array.from({ length: shape.layers }, (_, layer) =>
      (layer + 1) % NO_ROPE_LAYER_INTERVAL === 0 ? 0 : 1,
    ),
    num_attention_heads: shape.heads,
    num_hidden_layers: shape.layers,
    num_key_value_heads: shape.keyValueHeads,
    pad_token_id: shape.padTokenId,
    rms_norm_eps: 1e-6,
    rope_scaling: null,
    rope_theta: shape.ropeTheta,
    sliding_window: null,
    torch_dtype: torchDtype,
    use_cache: true,
    use_sliding_window: false,
    vocab_size: shape.vocabSize,
  };
}

/** `generation_config.json`: token ids only, so that benchmarks are greedy unless they ask otherwise. */
function checkpointGenerationConfig(shape: CheckpointShape): Record<string, unknown> {
  return { bos_token_id: shape.bosTokenId, eos_token_id: shape.eosTokenId, pad_token_id: shape.padTokenId };
}
