/**
 * CodeGen (Nijkamp et al. 2023, https://arxiv.org/abs/2203.13474): GPT-J's decoder. Attention and MLP read one norm and
 * are added to the residual side by side; the first channels of a head are rotated.
 *
 * Its rotation turns channels 2i and 2i + 1 together, the runtime's i and i + rotaryDim / 2. The rows of the query and
 * key projections are read in the order that makes one the other: dot products do not care how both are ordered.
 */
import type { Program, RowRange } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { CODEGEN_BLOCKS, type CodeGenConfig } from "../config/codegen.ts";
import { ModuleBuilder, type ModuleSource } from "./module-builder.ts";
import { baseFrequencies } from "../config/rope.ts";

const THETA = 10_000;

export function codegen(config: CodeGenConfig): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, headDim, rotaryDim, maxPositions } = config;
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
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    const part = (which: Part): ModuleSource => ({
      module: `${name}.attn.qkv_proj`,
      rows: 3 * hiddenSize,
      ranges: rowsOf(which, config),
    });
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.ln_1`, n, { epsilon });
    p.linear(n, `${name}.attn.q_proj`, q, { bias: false, from: part("query") });
    p.linear(n, `${name}.attn.k_proj`, k, { bias: false, from: part("key") });
    p.linear(n, `${name}.attn.v_proj`, v, { bias: false, from: part("value") });
    p.op({ role: "rope", buffer: q, heads, headDim });
    p.op({ role: "rope", buffer: k, heads, headDim });
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
    p.linear(attended, `${name}.attn.out_proj`, branch, { bias: false });
    p.op({ role: "add", input: branch, target: x });

    // The MLP reads the same norm, not the sum.
    p.linear(n, `${name}.mlp.fc_in`, inner, { bias: true });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.fc_out`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const head = config.tieWordEmbeddings ? table : p.matrix("lm_head.weight", vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head, bias: p.vector("lm_head.bias", vocabSize) });

  const inverseFrequencies = Float32Array.from(baseFrequencies(THETA, rotaryDim));
  return p.build({
    family: "codegen",
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies, scaling: 1 },
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}

/** In the order in which a block of the fused projection has them. */
const PARTS = ["query", "value", "key"] as const;
type Part = (typeof PARTS)[number];

/** The rows of the fused projection [3 * hiddenSize, hiddenSize] that are one of its parts, head by head. */
function rowsOf(part: Part, { heads, headDim, rotaryDim }: CodeGenConfig): RowRange[] {
  const headsPerBlock = heads / CODEGEN_BLOCKS;
  return Array.from({ length: heads }, (_, head) => {
    const block = Math.floor(head / headsPerBlock);
    const before = (block * PARTS.length + PARTS.indexOf(part)) * headsPerBlock + (head % headsPerBlock);
    const start = before * headDim;
    const end = start + headDim;
    if (part === "value") {
      return [{ start, end }];
    }
    const channel = (i: number): RowRange => ({ start: start + i, end: start + i + 1 });
    const pairs = Array.from({ length: rotaryDim / 2 }, (_, i) => 2 * i);
    const rotated = [...pairs.map(channel), ...pairs.map((first) => channel(first + 1))];
    return rotaryDim === headDim ? rotated : [...rotated, { start: start + rotaryDim, end }];
  }).flat();
}
