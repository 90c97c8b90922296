/** A program on the CPU: passes, decodes and sequences as commands to the workers that own its weights and its cache. */
import type { KernelBuild } from "../../kernels/wasm-module.ts";
import type {
  DecodeProfile,
  DecodeRequest,
  Executable,
  LoadHooks,
  MemoryUse,
  Pass,
  PassResult,
  StateSnapshot,
} from "../backend.ts";
import { withAbort } from "../../base/async/abort.ts";
import { AbortError, throwIfAborted, type ModelComposeError } from "../../base/errors.ts";
import { compareChecksums } from "../checkpoint/read-checksums.ts";
import { checkDecode, checkPass, type PassLimits } from "../check-pass.ts";
import type { DeviceInfo } from "../device-types.ts";
import { FORWARD, opAccess, type Program } from "../program.ts";
import type { KvCapacity } from "../kv-ledger.ts";
import { SlotSequences } from "../slot-sequences.ts";
import { kernelModule } from "./kernel-builds.ts";
import { KV_BLOCK, planBytes, storedBytes, type MemoryPlan } from "./plan.ts";
import type { CacheSource } from "../platform/quantized-cache.ts";
import { loadThroughCache } from "./load-cached.ts";
import type { Command, LoadCommand, MeasureCommand, Reply } from "./protocol.ts";
import { TokenChannel } from "./token-channel.ts";
import { WorkerGroup } from "./worker-group.ts";

/** What an executable is made from. */
export interface WasmPlan {
  readonly plan: MemoryPlan;
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly kernelBuild: KernelBuild;
  readonly integerDot: number | undefined;
  /** Tokens that each sequence drafts; undefined: as many as gain. */
  readonly drafts: number | undefined;
  /** What the quantised weights are made from, where they are kept. */
  readonly cacheSource: CacheSource | undefined;
}

const PROGRESS_INTERVAL_MILLISECONDS = 200;

export class WasmExecutable implements Executable {
  readonly device: DeviceInfo;
  readonly maxRows: number;
  readonly slots: number;
  readonly kv: KvCapacity;
  readonly #plan: WasmPlan;
  readonly #program: Program;
  /** Limits of passes: their context is what may be used; the plan may have room for more. */
  #limits: PassLimits;
  readonly #workers: WorkerGroup;
  /** Sequences, whose snapshots are numbers under which the workers hold their parts. */
  readonly #sequences: SlotSequences<number>;
  #lastSnapshot = 0;

  constructor(program: Program, parts: WasmPlan) {
    const { plan, device, kernelBuild, integerDot, drafts } = parts;
    this.device = device;
    this.maxRows = plan.maxRows;
    this.#plan = parts;
    this.#program = program;
    this.#limits = { program, ...plan };
    this.#workers = new WorkerGroup(program, plan, { module: kernelModule(kernelBuild), integerDot, drafts });
    this.slots = plan.slots;
    this.kv = { unit: KV_BLOCK * plan.threads, units: plan.poolBlocks };
    this.#sequences = new SlotSequences(plan.slots, this.kv, {
      inTurn: (task) => this.#workers.inTurn(task),
      copy: async (from, to, length) =>
        void (await this.#workers.execute({ kind: "fork", from, to, length })),
      truncate: async (slot, length) =>
        void (await this.#workers.execute({ kind: "truncate", slot, length })),
      save: (slot, length) => this.#save(slot, length),
      restore: async (snapshot, slot) =>
        void (await this.#workers.execute({ kind: "restore", snapshot, slot })),
      release: async (snapshot) => {
        if (!this.#workers.isDisposed) {
          await this.#workers.inTurn(() => this.#workers.execute({ kind: "release", snapshot }));
        }
      },
    });
  }

  get contextLength(): number {
    return this.#limits.contextLength;
  }

  get memory(): MemoryUse {
    const { plan, memory } = this.#plan;
    return { ...memory, ...planBytes(plan, this.contextLength) };
  }

  get lost(): Promise<ModelComposeError> {
    return this.#workers.lost;
  }

  /**
   * Loads the weights.
   *
   * @param length length of the context, where it comes late; without it the context is what the plan has room for
   */
  async load({ onWeights, onNotice, signal }: LoadHooks, length?: Promise<number>): Promise<void> {
    const { plan, cacheSource } = this.#plan;
    let total = storedBytes(plan);
    const { control } = this.#workers;
    const report = onWeights && ((): void => onWeights(Math.min(control.loaded, total), total));
    await reporting(report, signal, (either) =>
      this.#workers.inTurn(async () => {
        await this.#workers.execute({ kind: "open" }, { signal: either });
        const load = async (command: LoadCommand): Promise<Reply[]> => {
          const replies = await this.#workers.execute(command, { signal: either });
          const slices = [...Object.values(plan.matrices), ...Object.values(plan.vectors)];
          compareChecksums(
            slices.map(({ source }) => source),
            replies.flatMap(({ checksums }) => checksums ?? []),
          );
          return replies;
        };
        if (cacheSource === undefined) {
          await load({ kind: "load" });
          return;
        }
        const onRead = (names: readonly string[]): void => {
          total = storedBytes(plan, names);
        };
        await loadThroughCache(cacheSource, { load, onRead, onNotice });
      }, either),
    );
    onWeights?.(total, total);
    // The last report is made when all is loaded, and may be the one that aborts.
    throwIfAborted(signal);
    if (length !== undefined) {
      this.#limits = { ...this.#limits, contextLength: await withAbort(length, signal) };
    }
  }

  async run(pass: Pass, signal?: AbortSignal): Promise<PassResult> {
    const { entry = FORWARD, tokens, slots, positions, sourceLength, logitRows = new Int32Array(0) } = pass;
    checkPass(pass, this.#limits);
    const logits = new SharedArrayBuffer(logitRows.length * this.#program.vocabSize * 4);
    const trace = pass.trace === true ? this.#traceBuffers(entry, tokens.length) : undefined;
    const rows = { tokens, slots, positions, sourceLength };
    const command: Command = { kind: "run", entry, ...rows, logitRows, logits, trace };
    const [reply] = await reporting(this.#passReport(pass.onProgress), signal, (either) =>
      this.#workers.inTurn(async () => {
        const commit = this.#sequences.begin(pass);
        const replies = await this.#workers.execute(command, { signal: either });
        commit();
        return replies;
      }, either),
    );
    return {
      logits: new Float32Array(new Float32Array(logits)),
      activations: new Map(
        [...(trace ?? [])].map(([name, buffer]) => [name, new Float32Array(new Float32Array(buffer))]),
      ),
      seconds: reply.seconds ?? 0,
    };
  }

  /** True: the leader has the host's own sampler, which can choose in every way. */
  canChoose(): boolean {
    return true;
  }

  async decode(request: DecodeRequest & { profile?: boolean }, signal?: AbortSignal): Promise<DecodeProfile> {
    const { onToken, onProgress, profile = false, tokens, slot, position, count, ...rest } = request;
    checkDecode(request, this.#limits, this.canChoose());
    const channel = TokenChannel.create(count);
    const produced = channel.buffer;
    const command: Command = { kind: "decode", ...rest, tokens, slot, position, count, produced, profile };
    let seen = 0;
    let isWanted = true;
    let hasEnded = false;
    let failure: { error: unknown } | undefined;
    /** Hands over what is there. Once a token was the last one wanted, the rest is dropped. */
    const take = (): void => {
      try {
        for (const count = channel.count; isWanted && seen < count; seen++) {
          isWanted = onToken(channel.at(seen)) !== false;
        }
      } catch (error) {
        failure = { error };
        isWanted = false;
      }
    };
    const deliver = async (leave: () => void): Promise<void> => {
      while (!hasEnded && isWanted) {
        await channel.after(seen);
        take();
      }
      if (!isWanted) {
        leave();
      }
    };
    let delivery: Promise<void> | undefined;
    try {
      const report = this.#passReport(onProgress && ((done): void => void (seen === 0 && onProgress(done))));
      const replies = await reporting(report, signal, async (either) => {
        // Only its beginning has a turn: steps and other calls go on side by side.
        const { number, replies, commit } = await this.#workers.inTurn(
          () =>
            Promise.resolve({
              commit: this.#sequences.beginDecode(request),
              ...this.#workers.start(command),
            }),
          either,
        );
        const leave = (): void => {
          this.#workers.leave(number);
        };
        delivery = deliver(leave);
        const ended = replies.catch((error: unknown) => {
          if (error instanceof AbortError && !isWanted) {
            return [];
          }
          throw error;
        });
        // The call ends at once; the workers let the sequence go after the step in which they are.
        either?.addEventListener("abort", leave, { once: true });
        if (either?.aborted) {
          leave();
        }
        try {
          const answers = await withAbort(ended, either);
          take();
          commit(seen);
          return answers;
        } finally {
          either?.removeEventListener("abort", leave);
        }
      });
      if (failure !== undefined) {
        throw failure.error;
      }
      return {
        wallSeconds: replies[0]?.wallSeconds ?? 0,
        kernelSeconds: Math.max(0, ...replies.map((reply) => reply.kernelSeconds ?? 0)),
        passes: replies[0]?.passes,
      };
    } finally {
      hasEnded = true;
      channel.wake();
      await delivery;
    }
  }

  fork(from: number, to: number, length: number): Promise<void> {
    return this.#sequences.fork(from, to, length);
  }

  truncate(slot: number, length: number): Promise<void> {
    return this.#sequences.truncate(slot, length);
  }

  snapshot(slot: number): Promise<StateSnapshot> {
    return this.#sequences.snapshot(slot);
  }

  restore(snapshot: StateSnapshot, slot: number): Promise<void> {
    return this.#sequences.restore(snapshot, slot);
  }

  /** For benchmarks: what each worker read (bytes) or computed (operations), and in how many seconds. */
  async measure(what: MeasureCommand["what"]): Promise<{ amount: number; seconds: number }[]> {
    const replies = await this.#workers.inTurn(() => this.#workers.execute({ kind: "measure", what }));
    return replies.map(({ amount = 0, seconds = 0 }) => ({ amount, seconds }));
  }

  dispose(): Promise<void> {
    return this.#workers.dispose();
  }

  /** Keeps each worker's part of a slot under a number. */
  async #save(slot: number, length: number): Promise<number> {
    const number = ++this.#lastSnapshot;
    try {
      await this.#workers.execute({ kind: "snapshot", snapshot: number, slot, length });
    } catch (error) {
      // Some of the workers may have had room for their part.
      await this.#workers.execute({ kind: "release", snapshot: number }).catch(() => undefined);
      throw error;
    }
    return number;
  }

  #passReport(onProgress: ((fraction: number) => void) | undefined): (() => void) | undefined {
    return (
      onProgress &&
      ((): void => {
        onProgress(this.#workers.control.progress);
      })
    );
  }

  #traceBuffers(entry: string, rows: number): Map<string, SharedArrayBuffer> {
    const buffers = new Map<string, SharedArrayBuffer>();
    for (const group of this.#program.entries.get(entry) ?? []) {
      for (const op of group.ops) {
        const [name] = opAccess(op).writes;
        if (op.trace === undefined) {
          continue;
        }
        buffers.set(op.trace, new SharedArrayBuffer(rows * (this.#program.buffers.get(name) ?? 0) * 4));
      }
    }
    return buffers;
  }
}

/**
 * Does some work and calls `report` a few times a second meanwhile. An exception in a timer would end the process; here
 * it aborts the work and is thrown.
 */
async function reporting<T>(
  report: (() => void) | undefined,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  if (report === undefined) {
    return work(signal);
  }
  const stop = new AbortController();
  const timer = setInterval(() => {
    try {
      report();
    } catch (error) {
      stop.abort(error);
    }
  }, PROGRESS_INTERVAL_MILLISECONDS);
  try {
    return await work(signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]));
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    clearInterval(timer);
  }
}
