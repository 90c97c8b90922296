/** In which format a device holds each matrix: as the checkpoint stores it, or quantised while it is loaded. */
import type { FloatFormat, FormatName, StoredFormat } from "../kernels/format.ts";
import type { KvPrecision } from "./device-types.ts";
import type { Name, Op, Program } from "./program.ts";

/** What weights become while they are loaded. "none": they stay as the checkpoint has them. */
export type Quantization = "none" | "int8" | "int4";

/** All of them, from the most bits to the fewest. */
export const QUANTIZATIONS = ["none", "int8", "int4"] as const satisfies readonly Quantization[];

/** What the KV cache holds where nobody said: who wants smaller weights wants a smaller cache. */
export function defaultKvPrecision(quantization: Quantization): KvPrecision {
  return quantization === "none" ? "float32" : "float16";
}

/** The format of a matrix that a checkpoint has in format `stored`. */
export type HeldFormats = (matrix: Name, stored: StoredFormat) => FormatName;

/**
 * The formats of a program's matrices. What is not quantised is held in format `precision`, where one is asked for. Tables of
 * positions, which are added as they are, routers, which are small and decide, and weights that the checkpoint has quantised stay
 * what they are. With "int4" those of which errors cost most are int8: the table of tokens and the output
 * layer, and the projections of values, which are small.
 */
export function heldFormats(
  program: Program,
  quantization: Quantization,
  precision?: FloatFormat,
): HeldFormats {
  const plain: HeldFormats = (_, stored) => (stored === "i8-row" ? stored : (precision ?? stored));
  if (quantization === "none") {
    return plain;
  }
  const ops = [...program.entries.values()].flatMap((groups) => groups.flatMap((group) => group.ops));
  const exact = new Set(ops.flatMap((op) => exactMatrices(op, ops)));
  const sensitive = new Set(ops.flatMap((op) => sensitiveMatrices(op, ops)));
  return (matrix, stored) => {
    if (exact.has(matrix) || stored === "i8-row") {
      return plain(matrix, stored);
    }
    return sensitive.has(matrix) ? "int8" : quantization;
  };
}

function sensitiveMatrices(op: Op, ops: readonly Op[]): Name[] {
  if (op.role === "embed") {
    return [op.table];
  }
  if (op.role === "logits") {
    return [op.weight];
  }
  return op.role === "append" ? matricesOf(op.value, op, ops) : [];
}

function exactMatrices(op: Op, ops: readonly Op[]): Name[] {
  if (op.role === "positions") {
    return [op.table];
  }
  return op.role === "route" ? matricesOf(op.input, op, ops) : [];
}

/** The matrices whose product is the buffer `value` when `reader` reads it: the last that were written there before. */
function matricesOf(value: Name, reader: Op, ops: readonly Op[]): Name[] {
  const before = ops.slice(0, ops.indexOf(reader)).reverse();
  const writer = before.find((op) => op.role === "linear" && op.output === value);
  return writer?.role === "linear" ? [writer.weight] : [];
}
