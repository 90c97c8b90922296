/**
 * A golden model in exact arithmetic: its Program, op by op in f64 over the checkpoint's weights, without any of the
 * runtime's code. It is what every f32 implementation, PyTorch's included, only approximates; programs.test.ts proves
 * it against PyTorch.
 */
import { readFileSync } from "node:fs";
import type { Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import { ENCODE, type Program } from "../../src/runtime/program.ts";
import {
  matrixSlice,
  vectorReads,
  vectorSlice,
  type WeightSlice,
} from "../../src/runtime/checkpoint/weight-source.ts";
import type { GoldenPrompt } from "./golden.ts";
import { Interpreter, type Deviations, type ProgramInput } from "./interpreter.ts";
import { bf16Value, f16Value } from "./numbers.ts";

/** Rows of numbers: [tokens][columns]. */
export type Rows = readonly Float64Array[];

export interface ReferencePass {
  /** Activations of every traced op, the encoder's too, by the trace's name. */
  activations: ReadonlyMap<string, Rows>;
  /** Logits of every token, [tokens][vocabulary]: of the decoder's input where there is an encoder. */
  logits: Rows;
}

/** Every weight of a program, row-major. */
export function readWeights(program: Program, checkpoint: Checkpoint): Map<string, Float64Array> {
  const weights = new Map<string, Float64Array>();
  for (const name of program.matrices.keys()) {
    weights.set(name, readSlice(matrixSlice(program, checkpoint, name)));
  }
  for (const name of program.vectors.keys()) {
    const slice = vectorSlice(program, checkpoint, name);
    const { scale = 1, offset = 0 } = slice.affine ?? {};
    const read = readSlice({ ...slice, rows: vectorReads(slice) });
    const values = slice.gather === undefined ? read : Float64Array.from(slice.gather, (i) => read[i]);
    weights.set(
      name,
      values.map((value) => value * scale + offset),
    );
  }
  return weights;
}

/**
 * The results of a golden prompt in one pass (with an encoder: in two).
 *
 * @param held what becomes of a number of a key or a value in the KV cache; default: it stays
 */
export function referencePass(
  program: Program,
  weights: ReadonlyMap<string, Float64Array>,
  { input_ids, decoder_input_ids }: Pick<GoldenPrompt, "input_ids" | "decoder_input_ids">,
  precision: "f64" | "f32" = "f64",
  deviations?: Deviations,
): ReferencePass {
  const interpreter = new Interpreter(program, weights, precision, deviations);
  if (program.architecture === "causal") {
    return interpreter.run(inputOf(input_ids));
  }
  const sourceLength = input_ids.length;
  const encoded = interpreter.run({ ...inputOf(input_ids), entry: ENCODE, sourceLength });
  const decoded = interpreter.run({ ...inputOf(decoder_input_ids ?? []), sourceLength });
  return { activations: new Map([...encoded.activations, ...decoded.activations]), logits: decoded.logits };
}

/** `count` greedy tokens after a prompt; with an encoder, after the decoder's start token. */
export function referenceGreedy(
  program: Program,
  weights: ReadonlyMap<string, Float64Array>,
  { input_ids, decoder_input_ids = [] }: Pick<GoldenPrompt, "input_ids" | "decoder_input_ids">,
  count: number,
): number[] {
  const interpreter = new Interpreter(program, weights);
  const isCausal = program.architecture === "causal";
  const sourceLength = isCausal ? undefined : input_ids.length;
  if (!isCausal) {
    interpreter.run({ ...inputOf(input_ids), entry: ENCODE, sourceLength });
  }
  let next = isCausal ? input_ids : decoder_input_ids.slice(0, 1);
  let position = 0;
  return Array.from({ length: count }, () => {
    const logits =
      interpreter.run({ ...inputOf(next, position), sourceLength }).logits.at(-1) ?? new Float64Array();
    position += next.length;
    next = [logits.indexOf(logits.reduce((most, value) => Math.max(most, value), -Infinity))];
    return next[0];
  });
}

function inputOf(tokens: readonly number[], position = 0): ProgramInput {
  return { tokens, slots: tokens.map(() => 0), positions: tokens.map((_, r) => position + r) };
}

/** The loops are plain: every test of a golden model reads all of its weights. */
function readSlice({ tensor, rows, columns, transposed, ranges }: WeightSlice): Float64Array {
  const stored = tensor.shape[1] ?? 1;
  const elementOf = tensor.mxfp4 === undefined ? plainElements(tensor) : mxfp4Elements(tensor);
  const [rowStride = stored, columnStride = 1] = tensor.mxfp4 === undefined ? (tensor.strides ?? []) : [];
  const values = new Float64Array(rows * columns);
  let at = 0;
  for (const { start, end } of ranges) {
    for (let row = start; row < end; row++) {
      for (let column = 0; column < columns; column++) {
        values[at++] = transposed
          ? elementOf(column * rowStride + row * columnStride)
          : elementOf(row * rowStride + column * columnStride);
      }
    }
  }
  return values;
}

/** The numbers of a tensor by how far they lie behind the first. */
function plainElements({ file, offset, dtype }: WeightSlice["tensor"]): (index: number) => number {
  const bytes = readFileSync(file);
  const { buffer, byteOffset, byteLength } = bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  const valueOf = dtype === "BF16" ? bf16Value : f16Value;
  return (index) =>
    dtype === "F32"
      ? view.getFloat32(offset + index * 4, true)
      : valueOf(view.getUint16(offset + index * 2, true));
}

/** FP4 (E2M1): a sign, two bits of exponent with a bias of 1, one of mantissa. */
function fp4Value(code: number): number {
  const [exponent, mantissa] = [(code >> 1) & 3, code & 1];
  const size = exponent === 0 ? mantissa / 2 : 2 ** (exponent - 1) * (1 + mantissa / 2);
  return (code & 8) === 0 ? size : -size;
}

/** The numbers of a matrix by their index, row by row. */
function mxfp4Elements({
  name,
  file,
  offset,
  shape,
  mxfp4,
}: WeightSlice["tensor"]): (index: number) => number {
  if (mxfp4 === undefined) {
    throw new Error(`The tensor "${name}" is not MXFP4.`);
  }
  const { rowStride, scales } = mxfp4;
  const [blocks, exponents] = [readFileSync(file), readFileSync(scales.file)];
  return (index) => {
    const [row, column] = [Math.floor(index / shape[1]), index % shape[1]];
    const pair = blocks[offset + row * rowStride + (column >> 1)];
    const exponent = exponents[scales.offset + row * scales.rowStride + (column >> 5)] - 127;
    return fp4Value(column % 2 === 0 ? pair & 15 : pair >> 4) * 2 ** exponent;
  };
}
