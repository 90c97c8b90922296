import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

const WORKGROUP = 256;
const QUAD = 4;
const MOST_CHUNKS = 2048;

/** Shapes of a token choice, and where its buffers keep what. */
export interface ChoiceShape {
  vocabSize: number;
  /** Rows that the `rows` buffer has room for. */
  maxRows: number;
}

/** Tokens a chunk: as few as leave a list of maxima that one workgroup reads at ease. */
export function chunkSize(vocabSize: number): number {
  let chunk = QUAD;
  while (vocabSize > chunk * MOST_CHUNKS) {
    chunk *= 2;
  }
  if (chunk > QUAD * WORKGROUP) {
    throw new RangeError(
      `A vocabulary has at most ${QUAD * WORKGROUP * MOST_CHUNKS} tokens; found ${vocabSize}.`,
    );
  }
  return chunk;
}

/** Where the `work` buffer keeps what (logit-keys.wgsl says the same), in words; `size` is its length. */
export interface WorkLayout {
  chunks: number;
  /** Where the sums of weights begin, a pair of words a chunk. */
  sums: number;
  keys: number;
  ids: number;
  weights: number;
  size: number;
}

export function workLayout(vocabSize: number): WorkLayout {
  const chunks = Math.ceil(vocabSize / chunkSize(vocabSize));
  const keys = 4 * chunks;
  const ids = keys + vocabSize;
  return { chunks, sums: chunks, keys, ids, weights: ids + vocabSize, size: ids + 2 * vocabSize };
}

function shapeConstants(vocabSize: number): Record<string, number> {
  return { VOCABULARY: vocabSize, CHUNK: chunkSize(vocabSize), WORKGROUP };
}

/** The kernel of the highest logit of each chunk, processed. Buffers: logits, marks, choice, work, params. */
export function chunkMaximaKernel(vocabSize: number): KernelSpec {
  return {
    name: "chunk maxima",
    source: "sample/chunk-maxima.wgsl",
    constants: shapeConstants(vocabSize),
    bindings: ["read", "read", "read", "write", "uniform"],
  };
}

/** Workgroups of the kernels that read all logits. */
export function chunkWorkgroups(vocabSize: number): [number] {
  return [Math.ceil(vocabSize / (WORKGROUP * QUAD))];
}

/**
 * The kernel of greedy choice, one workgroup after the chunk maxima. Buffers: logits, marks, choice, work, rows,
 * result, params.
 */
export function greedyKernel({ vocabSize, maxRows }: ChoiceShape): KernelSpec {
  return {
    name: "greedy",
    source: "sample/greedy.wgsl",
    constants: { ...shapeConstants(vocabSize), MAX_ROWS: maxRows },
    bindings: ["read", "write", "write", "read", "write", "write", "uniform"],
  };
}

/**
 * The kernel of the weight of each chunk, after the chunk maxima, in as many workgroups. Buffers: logits, marks,
 * choice, work, powers, params.
 */
export function weighChunksKernel(vocabSize: number): KernelSpec {
  return {
    name: "weigh chunks",
    source: "sample/weigh-chunks.wgsl",
    constants: shapeConstants(vocabSize),
    bindings: ["read", "read", "read", "write", "read", "uniform"],
  };
}

/**
 * The kernel of a draw from all tokens, one workgroup after the chunks' weights. Its buffers are those of
 * `sampleKernel`.
 */
export function drawKernel({ vocabSize, maxRows }: ChoiceShape): KernelSpec {
  return {
    name: "draw",
    source: "sample/draw.wgsl",
    constants: { ...shapeConstants(vocabSize), MAX_ROWS: maxRows },
    bindings: ["read", "write", "write", "read", "write", "write", "read", "uniform"],
  };
}

/**
 * The kernel of a draw after top-k or top-p, one workgroup after the chunk maxima and, without top-k, the chunks'
 * weights. Buffers: logits, marks, choice, work, rows, result, powers, params.
 */
export function sampleKernel({ vocabSize, maxRows }: ChoiceShape): KernelSpec {
  return {
    name: "sample",
    source: "sample/sample.wgsl",
    constants: { ...shapeConstants(vocabSize), MAX_ROWS: maxRows },
    bindings: ["read", "write", "write", "write", "write", "write", "read", "uniform"],
  };
}

/** Where `row` lies in the params, in bytes. */
export const CHOICE_ROW_AT = 24;

/** The scalars of all three kernels. */
export interface ChoiceParams {
  /** Penalty of seen tokens, f32; 1 is off. (Greedy choice has temperature 1.) */
  penalty: number;
  temperature: number;
  /** The farthest that a candidate may be below the highest logit (min-p), f32; Infinity is off. */
  farthest: number;
  /** Share of the total weight that top-p removes at most, u32 in 2^-32; 0 is off. */
  removable: number;
  /** How many of the likeliest tokens are kept, u32; 0 keeps all. */
  topK: number;
  minNewTokens: number;
  /** The row of the next pass that reads the token. */
  row: number;
  /** Low and high word of Philox' key. */
  key: readonly [number, number];
  sequence: readonly [number, number, number];
}

export function choiceParams(choice: ChoiceParams): Uint32Array {
  const { penalty, temperature, farthest, removable, topK, minNewTokens, row, key, sequence } = choice;
  const integers = [removable, topK, minNewTokens, row, ...key, ...sequence];
  return params(
    "f32",
    penalty,
    "f32",
    temperature,
    "f32",
    farthest,
    ...integers.flatMap((value) => ["u32", value] as const),
  );
}
