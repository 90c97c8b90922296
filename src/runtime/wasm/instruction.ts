/**
 * What the workers of a CPU device do in a pass, as data. All workers hold the same list of instructions; each carries
 * out its part of every one, in order, without knowing how far its peers are. Only a barrier tells it: behind it,
 * everything that any worker did before it is done and visible. What lies between two barriers is an *epoch*.
 *
 * **Memories.** Every worker has the same memories ("banks"), and every buffer lies in each of them. Place (buffer, bank)
 * of worker w is written by
 * - w itself: its own columns (linear layers and what is elementwise), or whole rows, which every worker computes alike
 *   (norms, rotations, the combination of partial attention);
 * - its peers, who push their own columns into it ("exchange", and partial attention), or the rows that they own (looked
 *   up in their part of a table; attended in their tiles);
 * - whoever runs one of w's tasks ("share"): a worker that has finished its own tasks takes a neighbour's and runs it in
 *   the neighbour's memory, on the neighbour's columns.
 *
 * A worker reads its own memory only, but for tasks, which read the memory of their owner, and for attention in tiles,
 * which reads every worker's part of the KV cache.
 *
 * **Whole values are final.** Where a task reads rows that every worker computes for itself in the same epoch, its owner
 * may not have come that far. Who runs the task has: it first writes its own rows, the same bits, into the owner's memory
 * (`ready` of a share). For this the kernels of norms, copies and `combine` store each number once, when it is final. A
 * rotation, in place, does not.
 */
import type {
  ActivateOp,
  AddOp,
  AppendOp,
  AttentionOp,
  EmbedOp,
  ExpertsOp,
  GateOp,
  LinearOp,
  LogitsOp,
  Name,
  NormOp,
  PositionsOp,
  RopeOp,
  RouteOp,
} from "../program.ts";

/**
 * The forms of a pass. "row": one row, its logits included, column-parallel work shared out as tasks, no traces; "few":
 * attention split over blocks of the KV cache; "many": attention split over tiles of rows.
 */
export type Form = "row" | "few" | "many";

/** A buffer in one of a worker's memories. */
export interface Place {
  buffer: Name;
  bank: number;
}

/** Ops of which each worker computes its own columns. */
export type ColumnOp = LinearOp | ExpertsOp | GateOp | ActivateOp | AddOp;

/** Ops that every worker computes for whole rows in its own memory; `append`: of the positions whose block it owns. */
export type RowOp = NormOp | RouteOp | RopeOp | AppendOp;

/** Copies of a buffer's columns (or rows) from `bank` to `targets`. */
export interface Transfer extends Place {
  /** Banks, in every memory but the one that the copy comes from. */
  targets: readonly number[];
}

/** Ops on the same columns, one after another, cut into tasks of some of them: up and gate and their product, say. */
export interface Chain {
  bank: number;
  /** Columns of all outputs, of a line of those that have several. */
  columns: number;
  ops: readonly (ColumnOp | LogitsOp)[];
  /** Whoever runs a task pushes the owner's columns of these at its end. */
  pushes: readonly Transfer[];
}

export type Instruction =
  /** cos and sin of every row's position, in every bank of the worker itself. */
  | { kind: "rotations" }
  /** A group begins; `fraction` of the ops are done. */
  | { kind: "group"; fraction: number }
  /** Who owns a row of the table writes it (or the sum) into every memory of `targets`. */
  | { kind: "scatter"; op: EmbedOp | PositionsOp; bank: number; targets: readonly number[] }
  | { kind: "rows"; op: RowOp; bank: number }
  | { kind: "columns"; op: ColumnOp; bank: number }
  /** All column-parallel work of an epoch, of which there is one in an epoch at most. */
  | { kind: "share"; chains: readonly Chain[]; ready: readonly Place[] }
  /** Every worker pushes its own columns into all memories. */
  | ({ kind: "exchange" } & Transfer)
  /** Every worker copies whole rows from one of its banks to others. */
  | ({ kind: "copy" } & Transfer)
  /** Attention of few rows: partial softmax states of the worker's own blocks, … */
  | { kind: "attend blocks"; op: AttentionOp; bank: number }
  /** … pushed to its peers, … */
  | { kind: "exchange partials"; op: AttentionOp; bank: number }
  /** … and all of them combined by every worker. */
  | { kind: "combine"; op: AttentionOp; bank: number }
  /** Attention of many rows: the worker's own tiles, over every worker's blocks, pushed to its peers' same bank. */
  | { kind: "attend tiles"; op: AttentionOp; bank: number }
  /**
   * Logits of any rows, by the worker's own columns: in "row" by one worker alone, in "few" and "many" after the pass.
   */
  | { kind: "logits"; op: LogitsOp; bank: number }
  | { kind: "trace"; label: string; buffer: Name; bank: number; isWhole: boolean }
  | { kind: "barrier" };
