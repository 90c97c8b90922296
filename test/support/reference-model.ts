/**
 * SmolLM3's forward pass in f64, written from its paper and configuration, without any of the runtime's code: what
 * every f32 implementation, PyTorch's included, only approximates.
 */
import { readFileSync } from "node:fs";
import type { SmolLM3Config } from "../../src/models/config.ts";
import { ropeFrequencies } from "../../src/models/rope.ts";
import type { Checkpoint } from "../../src/runtime/checkpoint.ts";
import { bf16Value, f16Value } from "./numbers.ts";

/** Rows of numbers. */
type Rows = Float64Array[];

export interface ReferencePass {
  /** [tokens][columns] */
  embeddings: Rows;
  layers: Rows[];
  finalNorm: Rows;
  logits: Rows;
}

export function referencePass(
  config: SmolLM3Config,
  checkpoint: Checkpoint,
  tokens: readonly number[],
): ReferencePass {
  const { heads, kvHeads, headDim, rmsNormEps } = config;
  const weight = (name: string): Rows => readRows(checkpoint, `${name}.weight`);
  const norm = (rows: Rows, gains: Float64Array): Rows =>
    rows.map((row) => {
      const mean = row.reduce((sum, value) => sum + value * value, 0) / row.length;
      return row.map((value, i) => (value / Math.sqrt(mean + rmsNormEps)) * gains[i]);
    });
  const linear = (rows: Rows, matrix: Rows): Rows =>
    rows.map((row) => Float64Array.from(matrix, (w) => w.reduce((sum, value, k) => sum + value * row[k], 0)));
  const add = (a: Rows, b: Rows): Rows => a.map((row, r) => row.map((value, i) => value + b[r][i]));
  const { inverseFrequencies, attentionScaling } = ropeFrequencies(config.rope, headDim, config.maxPositions);
  const rotate = (rows: Rows): Rows =>
    rows.map((row, position) => {
      const out = row.slice();
      const half = headDim / 2;
      for (let from = 0; from < row.length; from += headDim) {
        for (let i = 0; i < half; i++) {
          const angle = position * inverseFrequencies[i];
          const [c, s] = [Math.cos(angle) * attentionScaling, Math.sin(angle) * attentionScaling];
          const [u, v] = [row[from + i], row[from + half + i]];
          out[from + i] = u * c - v * s;
          out[from + half + i] = v * c + u * s;
        }
      }
      return out;
    });
  const attend = (q: Rows, k: Rows, v: Rows): Rows =>
    q.map((row, position) => {
      const out = new Float64Array(row.length);
      for (let h = 0; h < heads; h++) {
        const [from, kv] = [h * headDim, Math.floor(h / (heads / kvHeads)) * headDim];
        const scores = Float64Array.from({ length: position + 1 }, (_, p) => {
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += row[from + d] * k[p][kv + d];
          return dot / Math.sqrt(headDim);
        });
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, value) => sum + value, 0);
        weights.forEach((value, p) => {
          for (let d = 0; d < headDim; d++) out[from + d] += (value / total) * v[p][kv + d];
        });
      }
      return out;
    });

  const table = weight("model.embed_tokens");
  const embeddings = tokens.map((token) => table[token]);
  let x = embeddings;
  const layers: Rows[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.layers.${layer}`;
    const n = norm(x, flat(weight(`${name}.input_layernorm`)));
    let [q, k] = [
      linear(n, weight(`${name}.self_attn.q_proj`)),
      linear(n, weight(`${name}.self_attn.k_proj`)),
    ];
    if (config.usesRope[layer]) [q, k] = [rotate(q), rotate(k)];
    const attended = attend(q, k, linear(n, weight(`${name}.self_attn.v_proj`)));
    x = add(x, linear(attended, weight(`${name}.self_attn.o_proj`)));
    const m = norm(x, flat(weight(`${name}.post_attention_layernorm`)));
    const up = linear(m, weight(`${name}.mlp.up_proj`));
    const gate = linear(m, weight(`${name}.mlp.gate_proj`)).map((row, r) =>
      row.map((z, i) => (z / (1 + Math.exp(-z))) * up[r][i]),
    );
    x = add(x, linear(gate, weight(`${name}.mlp.down_proj`)));
    layers.push(x);
  }
  const finalNorm = norm(x, flat(weight("model.norm")));
  return { embeddings, layers, finalNorm, logits: linear(finalNorm, table) };
}

/** A vector is stored as a matrix of one column. */
const flat = (rows: Rows): Float64Array => Float64Array.from(rows, (row) => row[0]);

function readRows(checkpoint: Checkpoint, name: string): Rows {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  const { file, offset, byteLength, dtype, shape } = tensor;
  const { buffer } = Uint8Array.from(readFileSync(file).subarray(offset, offset + byteLength));
  const values =
    dtype === "F32"
      ? Float64Array.from(new Float32Array(buffer))
      : Float64Array.from(new Uint16Array(buffer), dtype === "BF16" ? bf16Value : f16Value);
  const [rows, columns = 1] = shape;
  return Array.from({ length: rows }, (_, r) => values.subarray(r * columns, (r + 1) * columns));
}
