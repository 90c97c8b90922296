/** What the executor records: dispatches, in the three forms of an entry. Data only; made by lower.ts. */
import type { KernelSpec } from "../../../kernels/wgsl/kernel.ts";

/** What a dispatch's size depends on. */
export interface PassShape {
  rows: number;
  /** Number of rows whose logits are computed. */
  logitRows: number;
  /** The last position of all rows + 1: what the row that sees most sees. */
  length: number;
  /** The first position of all rows + 1: what the row that sees least sees. */
  shortest: number;
  /** Number of tokens of the encoder's input; 0 without an encoder. */
  sourceLength: number;
  /** Number of tiles of query rows (form "block"). */
  queryTiles: number;
}

/** One launch of a kernel, with its buffers. */
export interface Dispatch {
  spec: KernelSpec;
  /** Names of the bound buffers, without the params. */
  buffers: readonly string[];
  /** Words of the uniform struct, the last binding, where the kernel has one. */
  params?: Uint32Array;
  /** Workgroups in x, y and z; zero in a dimension means that there is nothing to do. */
  workgroups: (pass: PassShape) => readonly [number, number, number];
  /** Bytes that the dispatch must read or write at least, for profiles. */
  bytes: (pass: PassShape) => number;
  /** The activation that is complete after this dispatch, for debugging. */
  trace?: { name: string; buffer: string; columns: number };
}

/** One entry of a program in one form. */
export interface Form {
  /** All dispatches but those of the logits. */
  body: readonly Dispatch[];
  /** The dispatches that compute logits of the wanted rows, at most LOGIT_ROWS at a time. */
  head: readonly Dispatch[];
}

export type FormName = "one" | "few" | "block";

/** Rows whose logits fit the buffer of logits. */
export const LOGIT_ROWS = 16;

/** The most rows of the form "few", whatever the adapter: those that are decoded side by side. */
export const FEW_ROWS = 16;
/**
 * The most positions that all rows of the form "few" may see, added up, where there are more than FEW_ROWS: each of them reads all of
 * its keys and values itself, which a block of rows shares.
 */
const MOST_SEEN = 2 ** 17;

/**
 * The form of a pass.
 *
 * @param length the last position of all rows + 1
 * @param mostFew the most rows that the adapter multiplies faster as a few than as a block
 */
export function formFor(rows: number, length: number, mostFew: number): FormName {
  if (rows === 1) {
    return "one";
  }
  return rows <= FEW_ROWS || (rows <= mostFew && rows * length <= MOST_SEEN) ? "few" : "block";
}

/** The form whose head computes the logits of so many rows, whatever form the body had. */
export function headFor(logitRows: number): FormName {
  return logitRows === 1 ? "one" : "few";
}

/** Words of the buffer of rows before its arrays; see kernels/common/rows.wgsl. */
export const ROWS_HEADER = 8;

export function rowsBufferBytes(maxRows: number): number {
  return (ROWS_HEADER + 4 * maxRows) * 4;
}
