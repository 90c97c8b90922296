/**
 * The contract of a device, on one page. A device takes a Program and a checkpoint and becomes an Executable:
 * memory allocated, weights uploaded, program compiled. Everything after that is passes.
 *
 * Guarantees, for every device:
 * - All calls are asynchronous; nothing assumes that a step has finished because the call returned, and the calling
 *   thread neither blocks nor spins.
 * - Calls on one Executable run one after another in the order they were made.
 * - A fired AbortSignal rejects the call with an AbortError within 500 ms and leaves the Executable usable; what the
 *   aborted call wrote to the KV cache is undefined from its first position on.
 * - A failure of the device itself rejects the running call and every later one with a "device" error.
 * - Token choice is the device's: given the same logits and sampling, every device picks the same token.
 */
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import type { DeviceInfo } from "./generation/types.ts";
import type { Program } from "./program.ts";
import type { ResolvedSampling } from "./sampling/options.ts";

/** A number of positions that becomes known while the weights are loaded, which do not wait for it. */
export interface LateContext {
  /** Integers >= 1 between which it will be; at most the model's maximum. */
  least: number;
  most: number;
  counted: Promise<number>;
}

export interface ExecutableOptions {
  /** Positions each KV slot holds. Where they come late, the KV cache is sized last, and by what was counted. */
  contextLength: number | LateContext;
  /** KV slots: sequences that can be in memory at once. */
  slots: number;
  /** Bytes of weights loaded so far, of all. */
  onWeights?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** One pass: R rows, each a token of the sequence in `slots[r]` at `positions[r]`. An "encode" is one pass. */
export interface Pass {
  /** Default "forward". */
  entry?: string;
  /** [R], in the order of their positions within a slot; R <= maxRows. */
  tokens: Int32Array;
  slots: Int32Array;
  positions: Int32Array;
  /**
   * Tokens of the encoder's input, for programs with an encoder: in a pass of "encode" R itself, in every other the R of
   * the last "encode".
   */
  sourceLength?: number;
  /** Rows whose logits are wanted. */
  logitRows?: Int32Array;
  /** Debug: also return every activation that the program names. Slow. */
  trace?: boolean;
  /** Called a few times a second while a long pass runs, with the fraction done. */
  onProgress?: (fraction: number) => void;
}

export interface PassResult {
  /** [logitRows.length, vocabSize] f32. */
  logits: Float32Array;
  /** name → [R, columns] f32; empty without `trace`. */
  activations: Map<string, Float32Array>;
}

/** A pass followed by up to `count` chosen tokens, each fed back at the next position. */
export interface DecodeRequest {
  /** [R >= 1] rows of one slot; the logits of the last choose the first token. */
  tokens: Int32Array;
  slot: number;
  /** Position of tokens[0]. */
  position: number;
  /** As of a Pass. */
  sourceLength?: number;
  /** Tokens to choose at most. position + R + count - 1 <= contextLength. */
  count: number;
  sampling: ResolvedSampling;
  /** All tokens before the first chosen one (for penalties); its end is `tokens`. */
  history: Int32Array;
  /** Choosing one of these ends the decode (it is still reported). Empty: never. */
  eosTokenIds: readonly number[];
  /** No end-of-sequence token before this many chosen tokens. */
  minNewTokens: number;
  /** Words 1..3 of the random generator's counter. */
  sequence: readonly [number, number, number];
  /** As of a Pass, until the first token. */
  onProgress?: (fraction: number) => void;
  /** Called in order, on the calling thread. Returning false ends the decode; later tokens are discarded. */
  onToken: (token: number) => boolean | undefined;
}

/** Where the time of a decode went, in seconds; for benchmarks. */
export interface DecodeProfile {
  /** From the first chosen token to the last. */
  wallSeconds: number;
  /** Of the worker (or queue) that computed longest, within that time. */
  kernelSeconds: number;
}

export interface MemoryUse {
  weightBytes: number;
  /** Weights read for one decoded token. */
  weightBytesPerToken: number;
  /** Capacity of the KV cache; memory is committed as positions are written. */
  kvCacheBytes: number;
  /** Activations and scratch. */
  workBytes: number;
}

/** A compiled program with its weights in device memory. */
export interface Executable {
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly contextLength: number;
  /**
   * Most rows of one pass; callers cut longer prompts into chunks. At least contextLength for programs with an encoder,
   * which sees its input whole.
   */
  readonly maxRows: number;
  run(pass: Pass, signal?: AbortSignal): Promise<PassResult>;
  decode(request: DecodeRequest, signal?: AbortSignal): Promise<DecodeProfile>;
  /**
   * Copies positions [0, length) of one slot to another; what that one held from `length` on is undefined. Truncating a
   * slot needs no call: positions say it all. Layers that all slots share (an encoder's input) are not touched.
   */
  copySlot(from: number, to: number, length: number): Promise<void>;
  /** Frees everything, running calls reject. Idempotent. */
  dispose(): Promise<void>;
}

export interface Backend {
  load(program: Program, checkpoint: Checkpoint, options: ExecutableOptions): Promise<Executable>;
}
