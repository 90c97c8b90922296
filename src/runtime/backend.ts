/**
 * The contract of a device, on one page. A device takes a Program and a checkpoint and becomes an Executable:
 * memory allocated, weights uploaded, program compiled. Everything after that is passes.
 *
 * Guarantees, for every device:
 * - All calls are asynchronous; nothing assumes that a step has finished because the call returned, and the calling
 *   thread neither blocks nor spins.
 * - Calls on one Executable begin in the order they were made, and run one after another, but for decodes: once begun, a decode
 *   goes on beside whatever is called later, decodes of other slots among it. Devices share their steps out or give each several
 *   in turn; a call in between waits for a few steps at most. No result depends on what runs beside it: a sequence has the
 *   tokens that it has alone.
 * - A fired AbortSignal rejects the call with an AbortError within 500 ms and leaves the Executable and all other calls as they
 *   are; what the aborted call wrote to the KV cache is undefined from its first position on.
 * - A failure of the device itself rejects the running call and every later one with a "device" error.
 * - Token choice is the device's where it can choose (`canChoose`): given the same logits, sampling and rules, every
 *   device picks the same token, and the same logits (NaN, +Infinity, nothing but -Infinity) are the same error.
 */
import type { FloatFormat } from "../kernels/format.ts";
import type { ModelComposeError } from "../base/errors.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import type { Activations, DeviceInfo, KvPrecision } from "./device-types.ts";
import type { Quantization } from "./held-formats.ts";
import type { KvCapacity } from "./kv-ledger.ts";
import type { Program } from "./program.ts";
import type { SequenceRules } from "./sampling/token-rules.ts";
import type { ResolvedSampling } from "./sampling/options.ts";

/** A number of positions that becomes known while the weights are loaded, which do not wait for it. */
export interface LateContext {
  /** Bounds of the number: integers >= 1, both included. */
  least: number;
  most: number;
  counted: Promise<number>;
}

/** Slots beyond those that must be, for sequences that share what is left. */
export interface MoreSlots {
  /** The most slots that there should be in all. */
  slots: number;
  /** Bytes that the KV cache may take in all; what `ExecutableOptions.slots` need is given in any case. */
  kvBytes: number;
}

/** What an Executable is prepared for. */
export interface ExecutableOptions {
  /** Positions each slot holds. Where they come late, the cache is sized last, and by what was counted. */
  contextLength: number | LateContext;
  /** Slots: sequences that can be in memory at once, each of the whole context. */
  slots: number;
  /** More slots, if there is room. Default: none. */
  more?: MoreSlots;
  /**
   * The format of all matrices that are not quantised, which a GPU must find in the checkpoint. Default: each as the checkpoint
   * has it.
   */
  format?: FloatFormat;
  /** What weights become while they are loaded. Default "none". */
  quantization?: Quantization;
  /** How activations are multiplied with quantised weights on the CPU. Default "int8". */
  activations?: Activations;
  /** What the KV cache holds. Default "float32". */
  kvPrecision?: KvPrecision;
  /** Keeps quantised weights on disk, and takes them from there the next time, under this name for people. Default: does not. */
  quantizedCache?: string;
}

/** How loading is watched and stopped. */
export interface LoadHooks {
  /** Bytes of weights loaded so far, of all. */
  onWeights?: (done: number, total: number) => void;
  /** Called once with the length of a late context, before the cache is sized. What it throws ends the load. */
  admit?: (contextLength: number) => void;
  /** Called with lines that a person should see. */
  onNotice?: (line: string) => void;
  signal?: AbortSignal;
}

/** One pass: R rows, each a token of the sequence in `slots[r]` at `positions[r]`. An "encode" is one pass. */
export interface Pass {
  /** Name of the entry to run. Default "forward". */
  entry?: string;
  /** [R] token ids, R <= maxRows; those of one slot are in the order of their positions. */
  tokens: Int32Array;
  slots: Int32Array;
  positions: Int32Array;
  /**
   * Tokens of the encoder's input, for programs with an encoder: in a pass of "encode" R itself, in every other the R of
   * the last "encode".
   */
  sourceLength?: number;
  /** [L] indices of the rows whose logits are wanted, each in 0 .. R - 1. */
  logitRows?: Int32Array;
  /** Whether to return every activation that the program names too, for debugging; slow. */
  trace?: boolean;
  /** Called a few times a second while a long pass runs, with the fraction done. */
  onProgress?: (fraction: number) => void;
}

export interface PassResult {
  /** The logits, [L, vocabSize] f32, in the order of `logitRows`. */
  logits: Float32Array;
  /** The activations by name, each [R, columns] f32; empty without `trace`. */
  activations: Map<string, Float32Array>;
  /** Seconds that the device worked on it, without those in which it waited for its turn. */
  seconds: number;
}

/** A pass followed by up to `count` chosen tokens, each fed back at the next position. */
export interface DecodeRequest {
  /** [R >= 1] token ids, rows of one slot; the logits of the last row choose the first token. */
  tokens: Int32Array;
  /** The slot, which is the decode's alone until it ends. Of a program with an encoder no other decode runs meanwhile. */
  slot: number;
  /** Position of tokens[0]. */
  position: number;
  /** Tokens of the encoder's input, as in a Pass. */
  sourceLength?: number;
  /** The most tokens to choose. position + R + count - 1 <= contextLength. */
  count: number;
  sampling: ResolvedSampling;
  /** The token rules; absent: none is on. */
  rules?: SequenceRules;
  /** All tokens before the first chosen one (for penalties); its end is `tokens`. */
  history: Int32Array;
  /** Choosing one of these ends the decode (it is still reported). Empty: never. */
  eosTokenIds: readonly number[];
  /** The least number of chosen tokens: no end-of-sequence token comes before it. */
  minNewTokens: number;
  /** Words 1..3 of the random generator's counter. */
  sequence: readonly [number, number, number];
  /**
   * Whether tokens may be drafted from `history` and what follows it, where the device gains by that; it changes no token.
   * Default true.
   */
  promptLookup?: boolean;
  /** Called as in a Pass, until the first token. */
  onProgress?: (fraction: number) => void;
  /** Called in order, on the calling thread. Returning false ends the decode; later tokens are discarded. */
  onToken: (token: number) => boolean | undefined;
}

/** Where the time of a decode went, in seconds; for benchmarks. */
export interface DecodeProfile {
  /** Seconds from the first chosen token to the last. */
  wallSeconds: number;
  /** Seconds that the worker (or queue) that computed longest spent in kernels within that time. */
  kernelSeconds: number;
  /** Passes within that time, where the device tells: fewer than tokens where drafted ones were right. */
  passes?: number;
}

export interface MemoryUse {
  weightBytes: number;
  /** Bytes of weights read for one decoded token. */
  weightBytesPerToken: number;
  /** Bytes of the KV cache at its full capacity; memory is committed as positions are written. */
  kvCacheBytes: number;
  /** Bytes of activations and scratch. */
  workBytes: number;
}

/**
 * The state of a slot's sequence at one position, kept apart from the slot. It stays what it is whatever becomes of the
 * slot, and may be put into any slot of its Executable, any number of times.
 */
export interface StateSnapshot {
  /** Positions [0, length) that the sequence has. */
  readonly length: number;
  /** Frees what it holds; it cannot be restored afterwards. Idempotent, and implied by disposing the Executable. */
  release(): Promise<void>;
}

/**
 * What can be done with the sequences in an Executable's slots, beside running passes over them. A slot's sequence has a
 * length: a pass appends its rows, in the order of their positions, and makes it the last of them plus one; a decode
 * appends its rows and all tokens that it handed over but the last, which no pass has read yet. A row at an earlier
 * position first drops what was there from that position on. Layers that hold an encoder's input (SourceState) are one for
 * all slots: nothing here touches them.
 *
 * A recurrent state belongs to the end of its sequence. Going back is possible to where it is known only: to position 0,
 * and to positions that a snapshot of this sequence was taken at and not released. Everything else is an
 * "invalid-argument" error that names the slot, the position and the positions that can be reached; that goes for
 * `truncate`, for `fork` with less than the whole length, and for rows before the end.
 */
export interface Sequences {
  /** Makes `to` the same sequence as the first `length` positions of `from`. What `to` held is gone. */
  fork(from: number, to: number, length: number): Promise<void>;
  /** Drops the positions from `length` on. */
  truncate(slot: number, length: number): Promise<void>;
  /**
   * Keeps the state of a slot's sequence at its end.
   *
   * @throws ModelComposeError "out-of-memory"
   */
  snapshot(slot: number): Promise<StateSnapshot>;
  /** Makes `slot` the sequence of a snapshot. What it held is gone. */
  restore(snapshot: StateSnapshot, slot: number): Promise<void>;
}

/** A compiled program with its weights in device memory. */
export interface Executable extends Sequences {
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly contextLength: number;
  /**
   * Most rows of one pass; callers cut longer prompts into chunks. At least contextLength for programs with an encoder,
   * which sees its input whole.
   */
  readonly maxRows: number;
  /** Slots that there are. */
  readonly slots: number;
  /**
   * What the sequences of all slots may take together: each a whole number of units. What would take more is refused as
   * "out-of-memory" before it begins; a decode takes what it may come to.
   */
  readonly kv: KvCapacity;
  /** Resolves with the reason when the device has lost the program beyond repair: every call fails from then on. */
  readonly lost: Promise<ModelComposeError>;
  run(pass: Pass, signal?: AbortSignal): Promise<PassResult>;
  /**
   * Whether `decode` can choose tokens this way; it refuses what it cannot. A caller then chooses itself, from the
   * logits of passes.
   */
  canChoose(choice: Pick<DecodeRequest, "sampling" | "rules">): boolean;
  decode(request: DecodeRequest, signal?: AbortSignal): Promise<DecodeProfile>;
  /** Frees everything, running calls reject. Idempotent. */
  dispose(): Promise<void>;
}

/** A program planned for a device: what it would take is known, nothing of it is allocated yet. */
export interface Preparation {
  readonly device: DeviceInfo;
  /** What the program takes; with a late context, at the least length that it will have. */
  readonly memory: MemoryUse;
  /** What a context of another length would take. Throws what `prepare` throws. */
  memoryFor(contextLength: number): MemoryUse;
  /** Allocates, uploads, compiles; once. What was opened for it is the Executable's from then on. */
  load(hooks?: LoadHooks): Promise<Executable>;
  /** Gives up what was opened; nothing to do after `load`. Idempotent. */
  dispose(): Promise<void>;
}

export interface Backend {
  /**
   * Plans a program for this device; nothing is allocated yet.
   *
   * @throws ModelComposeError "invalid-checkpoint", "unsupported" for what the device cannot run, "out-of-memory" for what
   *   it could never hold
   */
  prepare(program: Program, checkpoint: Checkpoint, options: ExecutableOptions): Promise<Preparation>;
}
