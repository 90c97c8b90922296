/**
 * GPT-2 (Radford et al. 2019): a pre-norm decoder with LayerNorm, learned positions and GELU. DialoGPT (Zhang et al.
 * 2020, https://arxiv.org/abs/1911.00536) is this. Its Conv1D modules keep matrices as [in, out], and the three
 * projections of attention in one.
 */
import type { Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import type { Gpt2Config } from "../config/gpt2.ts";
import { ModuleBuilder } from "./module-builder.ts";

export function gpt2(config: Gpt2Config): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, headDim, maxPositions } = config;
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
  const conv1d = (input: string, module: string, rows: number, output: string): void => {
    p.linear(input, module, output, { bias: true, from: { module, rows, transposed: true } });
  };

  const table = p.matrix("transformer.wte.weight", vocabSize, hiddenSize);
  const positions = p.matrix("transformer.wpe.weight", maxPositions, hiddenSize);
  p.group("The embedding tables");
  p.op({ role: "embed", table, output: x });
  p.op({ role: "positions", table: positions, offset: 0, target: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.ln_1`, n, { epsilon });
    for (const [i, [projection, output]] of Object.entries({ q, k, v }).entries()) {
      const ranges = [{ start: i * hiddenSize, end: (i + 1) * hiddenSize }];
      const from = { module: `${name}.attn.c_attn`, rows: 3 * hiddenSize, transposed: true, ranges };
      p.linear(n, `${name}.attn.${projection}_proj`, output, { bias: true, from });
    }
    p.op({ role: "append", key: k, value: v, layer });
    const scale = (config.scalesScores ? headDim ** -0.5 : 1) / (config.scalesScoresByLayer ? layer + 1 : 1);
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale, output: attended });
    conv1d(attended, `${name}.attn.c_proj`, hiddenSize, branch);
    p.op({ role: "add", input: branch, target: x });

    p.layerNorm(x, `${name}.ln_2`, n, { epsilon });
    conv1d(n, `${name}.mlp.c_fc`, intermediateSize, inner);
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    conv1d(inner, `${name}.mlp.c_proj`, hiddenSize, branch);
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const head = config.tieWordEmbeddings ? table : p.matrix("lm_head.weight", vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  return p.build({
    family: "gpt2",
    vocabSize,
    maxPositions,
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}
