/**
 * Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): a pre-norm decoder with RMSNorm, rotary positions,
 * grouped-query attention (Ainslie et al. 2023) and SwiGLU. SmolLM2 and Llama 2 and 3 are this; other families
 * differ by a line or two of their configuration.
 */
import { ProgramBuilder, type Program } from "../runtime/program.ts";
import type { LlamaDecoderConfig } from "./config/llama-decoder.ts";
import type { LlamaConfig } from "./config/llama.ts";
import { ropeFrequencies } from "./rope.ts";

export function llama(config: LlamaConfig): Program {
  return llamaDecoder("llama", config);
}

/** The forward pass of a family of such decoders. */
export function llamaDecoder(family: string, config: LlamaDecoderConfig): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim, rmsNormEps, maxPositions } = config;
  const p = new ProgramBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", heads * headDim);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", heads * headDim);
  const gate = p.buffer("gate", intermediateSize);
  const up = p.buffer("up", intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const norm = (weight: string, trace?: string): void => {
    p.op({ role: "norm", kind: "rms", input: x, weight: p.vector(weight, hiddenSize), epsilon: rmsNormEps, output: n, trace });
  };
  const linear = (input: string, name: string, rows: number, columns: number, output: string, hasBias: boolean): void => {
    const weight = p.matrix(`${name}.weight`, rows, columns);
    const bias = hasBias ? p.vector(`${name}.bias`, rows) : undefined;
    p.op({ role: "linear", input, weight, bias, output, accumulate: false });
  };

  const table = p.matrix("model.embed_tokens.weight", vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.layers.${layer}`;
    p.group(`Layer ${layer}`);

    norm(`${name}.input_layernorm.weight`);
    linear(n, `${name}.self_attn.q_proj`, heads * headDim, hiddenSize, q, config.attentionBias);
    linear(n, `${name}.self_attn.k_proj`, kvHeads * headDim, hiddenSize, k, config.attentionBias);
    linear(n, `${name}.self_attn.v_proj`, kvHeads * headDim, hiddenSize, v, config.attentionBias);
    if (config.usesRope[layer]) {
      p.op({ role: "rope", buffer: q, heads, headDim });
      p.op({ role: "rope", buffer: k, heads: kvHeads, headDim });
    }
    p.op({ role: "append", key: k, value: v, layer });
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale: headDim ** -0.5, output: attended });
    linear(attended, `${name}.self_attn.o_proj`, hiddenSize, heads * headDim, branch, config.attentionBias);
    p.op({ role: "add", input: branch, target: x });

    norm(`${name}.post_attention_layernorm.weight`);
    linear(n, `${name}.mlp.gate_proj`, intermediateSize, hiddenSize, gate, config.mlpBias);
    linear(n, `${name}.mlp.up_proj`, intermediateSize, hiddenSize, up, config.mlpBias);
    p.op({ role: "gate", activation: "silu", gate, up, output: gate });
    linear(gate, `${name}.mlp.down_proj`, hiddenSize, intermediateSize, branch, config.mlpBias);
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  norm("model.norm.weight", "final_norm");
  const head = config.tieWordEmbeddings ? table : p.matrix("lm_head.weight", vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  const { inverseFrequencies, attentionScaling } = ropeFrequencies(config.rope, headDim, maxPositions);
  return p.build({
    family,
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling },
    kv: { layers: config.layers, kvHeads, headDim },
  });
}
