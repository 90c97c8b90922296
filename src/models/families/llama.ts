/**
 * Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): a pre-norm decoder with RMSNorm (Zhang & Sennrich
 * 2019), rotary positions, grouped-query attention (Ainslie et al. 2023) and SwiGLU. SmolLM2 and Llama 2 and 3 are this;
 * other families differ by a line or two of their configuration.
 */
import type { Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import type { LlamaDecoderConfig } from "../config/llama-decoder.ts";
import type { LlamaConfig } from "../config/llama.ts";
import { ModuleBuilder } from "./module-builder.ts";
import { ropeFrequencies } from "../config/rope.ts";

export function llama(config: LlamaConfig): Program {
  return llamaDecoder("llama", config);
}

/** The forward pass of a family of such decoders. */
export function llamaDecoder(family: string, config: LlamaDecoderConfig): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim, maxPositions } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", heads * headDim);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", heads * headDim);
  const gate = p.buffer("gate", intermediateSize);
  const up = p.buffer("up", intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const attention = { bias: config.attentionBias };
  const mlp = { bias: config.mlpBias };
  const epsilon = config.rmsNormEps;

  const table = p.matrix("model.embed_tokens.weight", vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.layers.${layer}`;
    p.group(`Layer ${layer}`);

    p.rmsNorm(x, `${name}.input_layernorm`, n, { epsilon });
    p.linear(n, `${name}.self_attn.q_proj`, q, attention);
    p.linear(n, `${name}.self_attn.k_proj`, k, attention);
    p.linear(n, `${name}.self_attn.v_proj`, v, attention);
    if (config.usesRope[layer]) {
      p.op({ role: "rope", buffer: q, heads, headDim });
      p.op({ role: "rope", buffer: k, heads: kvHeads, headDim });
    }
    p.op({ role: "append", key: k, value: v, layer });
    p.op({
      role: "attention",
      over: "past",
      query: q,
      layer,
      heads,
      scale: headDim ** -0.5,
      output: attended,
    });
    p.linear(attended, `${name}.self_attn.o_proj`, branch, attention);
    p.op({ role: "add", input: branch, target: x });

    p.rmsNorm(x, `${name}.post_attention_layernorm`, n, { epsilon });
    p.linear(n, `${name}.mlp.gate_proj`, gate, mlp);
    p.linear(n, `${name}.mlp.up_proj`, up, mlp);
    p.op({ role: "gate", activation: "silu", gate, up, output: gate });
    p.linear(gate, `${name}.mlp.down_proj`, branch, mlp);
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.rmsNorm(x, "model.norm", n, { epsilon, trace: "final_norm" });
  const head = config.tieWordEmbeddings ? table : p.matrix("lm_head.weight", vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  const { inverseFrequencies, attentionScaling } = ropeFrequencies(config.rope, headDim, maxPositions);
  return p.build({
    family,
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling },
    state: kvLayers(config.layers, { kvHeads, headDim }),
  });
}
