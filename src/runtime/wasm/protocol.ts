/** Messages between the main thread and the workers. All workers get the same commands, in the same order, and count them. */
import type { PartialChecksums } from "../checkpoint/read-checksums.ts";
import type { DecodeRequest } from "../backend.ts";
import type { SerializedError } from "../posted-error.ts";
import type { Program } from "../program.ts";
import type { CachedWeights, PartialSums } from "./cached-weights.ts";
import type { MemoryPlan } from "./plan.ts";

export interface WorkerData {
  index: number;
  plan: MemoryPlan;
  program: Program;
  control: SharedArrayBuffer;
  /** The table of KvBlocks. */
  blockTable: SharedArrayBuffer;
  spinMilliseconds: number;
  /** The compiled kernels. */
  module: WebAssembly.Module;
  /** How quantised weights are multiplied (`Worker`). */
  integerDot: number | undefined;
  /** How many tokens are drafted (`Worker`). */
  drafts: number | undefined;
  /** Name of the broadcast channel on which the workers hand each other memories. */
  channel: string;
}

export interface RunCommand {
  kind: "run";
  entry: string;
  tokens: Int32Array;
  slots: Int32Array;
  positions: Int32Array;
  sourceLength?: number;
  logitRows: Int32Array;
  /** Where the logits go: [logitRows, vocabSize] f32. */
  logits: SharedArrayBuffer;
  /** Where activations go, by the name of their trace: [rows, columns] f32. */
  trace?: Map<string, SharedArrayBuffer>;
}

/**
 * A DecodeRequest without its callbacks, which stay on the main thread. It is answered when the sequence has ended; until then
 * the workers take other commands between steps.
 */
export interface DecodeCommand extends Omit<DecodeRequest, "onToken" | "onProgress"> {
  kind: "decode";
  /** A TokenChannel for `count` tokens. */
  produced: SharedArrayBuffer;
  profile: boolean;
}

/** Ends the decode of that number before its time; it is answered as cancelled. */
export interface LeaveCommand {
  kind: "leave";
  decode: number;
}

/** Makes a slot the first `length` positions of another. */
export interface ForkCommand {
  kind: "fork";
  from: number;
  to: number;
  length: number;
}

/** Gives back the blocks of a slot that have no position before `length`. */
export interface TruncateCommand {
  kind: "truncate";
  slot: number;
  length: number;
}

/** Keeps the first `length` positions of a slot under the number `snapshot`, puts them into a slot, or forgets them. */
export type SnapshotCommand =
  | { kind: "snapshot"; snapshot: number; slot: number; length: number }
  | { kind: "restore"; snapshot: number; slot: number }
  | { kind: "release"; snapshot: number };

/** For benchmarks: reads the resident weights and computes nothing ("fma": multiplies and adds in registers). */
export interface MeasureCommand {
  kind: "measure";
  what: "read" | "read4" | "read-wide" | "fma" | "fill-cache";
}

/**
 * Makes memories and kernels, where that was not done, and loads weights: those that `read` has from there, the others from the
 * checkpoint. Quantised matrices that become are written into `write`.
 */
export interface LoadCommand {
  kind: "load";
  read?: CachedWeights;
  write?: CachedWeights;
}

/** A command. "open": the worker listens to its peers. */
export type Command =
  | { kind: "open" }
  | LoadCommand
  | RunCommand
  | DecodeCommand
  | LeaveCommand
  | ForkCommand
  | TruncateCommand
  | SnapshotCommand
  | MeasureCommand;

export type Request = Command & { command: number };

/** What a command answers besides that it is done. */
export interface Reply {
  /** Seconds of a decode and, of these, in kernels. */
  wallSeconds?: number;
  kernelSeconds?: number;
  /** Passes of a decode after its first token. */
  passes?: number;
  /** Sums of the matrices that were read from the cache, or written into it. */
  sums?: PartialSums;
  /** Why the cache could not be read (then nothing was loaded) or written. */
  cacheFailure?: string;
  /** What was read of tensors that have checksums. */
  checksums?: PartialChecksums;
  /** Bytes or operations of a measurement. */
  amount?: number;
  /** Seconds that a pass or a measurement took. */
  seconds?: number;
}

export type Response =
  | { kind: "done"; command: number; index: number; reply: Reply }
  | { kind: "cancelled"; command: number; index: number }
  /** The command failed; the worker goes on. */
  | { kind: "error"; command: number; index: number; error: SerializedError }
  /** The worker failed and has poisoned the group. */
  | { kind: "failed"; command: number; index: number; error: SerializedError }
  /** The worker left the command because a peer failed. */
  | { kind: "left"; command: number; index: number };
