/**
 * The graph of a decoder like Llama's in ONNX Runtime's own operators, as the exports that people use have them:
 * GroupQueryAttention, MatMulNBits, SkipSimplifiedLayerNormalization. It begins behind the embedding table, which costs a
 * token nothing: its input is the embedded tokens, its output the logits of the last one.
 */
import type { LlamaDecoderConfig } from "../../../src/models/families/shared/llama-decoder.ts";
import { BLOCK_BITS, BLOCK_COLUMNS, type BlockType } from "./block-weights.ts";
import { MICROSOFT, type OnnxNode, type OnnxValue } from "./onnx-file.ts";

/** Names of what a matrix consists of, from its name in GGUF ("blk.0.attn_q.weight"). */
export const elementsOf = (matrix: string): string => `${matrix}.elements`;
export const scalesOf = (matrix: string): string => `${matrix}.scales`;

/** Names of constants besides the weights: tables of RoPE [positions, headDim / 2], and the number -1. */
export const COSINES = "cosines";
export const SINES = "sines";
export const LAST = "last";

export const pastOf = (layer: number, kind: "key" | "value"): string => `past.${layer}.${kind}`;
export const presentOf = (layer: number, kind: "key" | "value"): string => `present.${layer}.${kind}`;

export interface DecoderGraph {
  nodes: OnnxNode[];
  inputs: OnnxValue[];
  outputs: OnnxValue[];
}

/** ONNX Runtime's CPU kernels of MatMulNBits multiply integers at this level, floats below. */
const INTEGER_PRODUCTS = 4;

/**
 * The graph.
 *
 * @param head the matrix of the logits: the embeddings' where they are tied
 */
export function decoderGraph(config: LlamaDecoderConfig, type: BlockType, head: string): DecoderGraph {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, layers, vocabSize, usesRope } = config;
  const nodes: OnnxNode[] = [];
  const add = (op: string, inputs: string[], outputs: string[], more: Partial<OnnxNode> = {}): string => {
    nodes.push({ op, inputs, outputs, ...more });
    return outputs[0];
  };
  const product = (input: string, matrix: string, rows: number, columns: number): string =>
    add("MatMulNBits", [input, elementsOf(matrix), scalesOf(matrix)], [`${matrix}.output`], {
      domain: MICROSOFT,
      integers: {
        K: columns,
        N: rows,
        bits: BLOCK_BITS[type],
        block_size: BLOCK_COLUMNS,
        accuracy_level: INTEGER_PRODUCTS,
      },
    });
  const floats = { epsilon: config.rmsNormEps };
  /** Adds a branch to the residual and normalises the sum. */
  const addAndNorm = (residual: string, branch: string, weight: string): { sum: string; normed: string } => {
    const [normed, sum] = [`${weight}.output`, `${weight}.sum`];
    add("SkipSimplifiedLayerNormalization", [residual, branch, weight], [normed, "", "", sum], {
      domain: MICROSOFT,
      floats,
    });
    return { sum, normed };
  };

  let residual = "embedded";
  const first = "blk.0.attn_norm.weight";
  let normed = add("SimplifiedLayerNormalization", [residual, first], [`${first}.output`], {
    integers: { axis: -1 },
    floats,
  });
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `blk.${layer}.${part}.weight`;
    const query = product(normed, name("attn_q"), heads * headDim, hiddenSize);
    const key = product(normed, name("attn_k"), kvHeads * headDim, hiddenSize);
    const value = product(normed, name("attn_v"), kvHeads * headDim, hiddenSize);
    const past = [pastOf(layer, "key"), pastOf(layer, "value")];
    const rotation = usesRope[layer] ? [COSINES, SINES] : [];
    const attended = add(
      "GroupQueryAttention",
      [query, key, value, ...past, "last_positions", "total_length", ...rotation],
      [name("attended"), presentOf(layer, "key"), presentOf(layer, "value")],
      {
        domain: MICROSOFT,
        integers: { num_heads: heads, kv_num_heads: kvHeads, do_rotary: usesRope[layer] ? 1 : 0 },
        floats: { scale: headDim ** -0.5 },
      },
    );
    const attention = product(attended, name("attn_output"), hiddenSize, heads * headDim);
    ({ sum: residual, normed } = addAndNorm(residual, attention, name("ffn_norm")));
    const gate = product(normed, name("ffn_gate"), intermediateSize, hiddenSize);
    const up = product(normed, name("ffn_up"), intermediateSize, hiddenSize);
    const sigmoid = add("Sigmoid", [gate], [name("sigmoid")]);
    const silu = add("Mul", [gate, sigmoid], [name("silu")]);
    const gated = add("Mul", [silu, up], [name("gated")]);
    const down = product(gated, name("ffn_down"), hiddenSize, intermediateSize);
    const next = layer + 1 < layers ? `blk.${layer + 1}.attn_norm.weight` : "output_norm.weight";
    ({ sum: residual, normed } = addAndNorm(residual, down, next));
  }
  const last = add("Gather", [normed, LAST], ["last_normed"], { integers: { axis: 1 } });
  nodes.push({
    op: "Identity",
    inputs: [product(last, head, vocabSize, hiddenSize)],
    outputs: ["logits"],
  });

  const caches = (nameOf: typeof pastOf, length: string): OnnxValue[] =>
    Array.from({ length: layers }, (_, layer) =>
      (["key", "value"] as const).map((kind): OnnxValue => ({
        name: nameOf(layer, kind),
        type: "float",
        shape: [1, kvHeads, length, headDim],
      })),
    ).flat();
  return {
    nodes,
    inputs: [
      { name: "embedded", type: "float", shape: [1, "tokens", hiddenSize] },
      { name: "last_positions", type: "int32", shape: [1] },
      { name: "total_length", type: "int32", shape: [1] },
      ...caches(pastOf, "past"),
    ],
    outputs: [{ name: "logits", type: "float", shape: [1, vocabSize] }, ...caches(presentOf, "present")],
  };
}
