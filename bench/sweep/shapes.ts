/** The matrices of the model that the sweep is for, and the numbers it fills them with. */
import type { WeightShape } from "../../src/kernels/format.ts";

/** What a decoder layer is made of. */
export interface LayerShape {
  hidden: number;
  inner: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabulary: number;
}

/** SmolLM3-3B. */
export const SMOLLM3: LayerShape = {
  hidden: 2048,
  inner: 11008,
  heads: 16,
  kvHeads: 4,
  headDim: 128,
  vocabulary: 128256,
};

/** A sixteenth of each width, for adapters that compute on the CPU: it tells whether kernels are right, not how fast they are. */
export const NARROW: LayerShape = {
  hidden: 128,
  inner: 688,
  heads: 4,
  kvHeads: 1,
  headDim: 32,
  vocabulary: 8016,
};

/** A matrix of a layer. */
export interface MatrixShape extends WeightShape {
  name: "qkv" | "o" | "gate" | "down" | "logits";
  rows: number;
}

/** The products of a layer and of the logits, in bf16. */
export function matricesOf({
  hidden,
  inner,
  heads,
  kvHeads,
  headDim,
  vocabulary,
}: LayerShape): MatrixShape[] {
  const bf16 = { format: "bf16" } as const;
  return [
    { name: "qkv", ...bf16, columns: hidden, rows: (heads + 2 * kvHeads) * headDim },
    { name: "o", ...bf16, columns: heads * headDim, rows: hidden },
    { name: "gate", ...bf16, columns: hidden, rows: 2 * inner },
    { name: "down", ...bf16, columns: inner, rows: hidden },
    { name: "logits", ...bf16, columns: hidden, rows: vocabulary },
  ];
}

/** Normally distributed numbers by Box & Muller 1958 from Mulberry32: the same everywhere. */
export function normalNumbers(count: number, seed: number, deviation = 1): Float32Array {
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return deviation * radius * Math.cos(2 * Math.PI * random());
  });
}

/** The upper halves of f32 numbers: bf16 numbers, cut off. */
export function toBf16(numbers: Float32Array): Uint16Array {
  const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  return Uint16Array.from(words, (word) => word >>> 16);
}

export function fromBf16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
}

/** The buffer of rows of a pass over positions 0 .. rows - 1 of slot 0, or of one row at `position`; see common/rows.wgsl. */
export function rowsBuffer(maxRows: number, rows: number, position = 0): Uint32Array {
  const words = new Uint32Array(8 + 4 * maxRows);
  words[0] = rows;
  words[1] = Math.min(rows, 1);
  for (let r = 0; r < rows; r++) {
    words[8 + 2 * maxRows + r] = position + r;
  }
  return words;
}
