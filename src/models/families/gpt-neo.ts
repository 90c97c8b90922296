/**
 * GPT-Neo (Black et al. 2021): like GPT-2, but every other layer attends to the last `windowSize` positions only, scores
 * are not scaled, and queries, keys and values have no biases.
 */
import type { Program } from "../../runtime/program.ts";
import type { KvState } from "../../runtime/state.ts";
import type { GptNeoConfig } from "../config/gpt-neo.ts";
import { ModuleBuilder } from "./module-builder.ts";

export function gptNeo(config: GptNeoConfig): Program {
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

  const table = p.matrix("transformer.wte.weight", vocabSize, hiddenSize);
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
  const head = config.tieWordEmbeddings ? table : p.matrix("lm_head.weight", vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  return p.build({
    family: "gpt_neo",
    vocabSize,
    maxPositions,
    state: attentionTypes.map((type): KvState => {
      const window = type === "local" ? windowSize : undefined;
      return { kind: "kv", kvHeads: heads, keyDim: headDim, valueDim: headDim, window };
    }),
  });
}
