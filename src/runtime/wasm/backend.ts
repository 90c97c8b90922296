/**
 * The CPU device, as the main thread sees it: starts the workers, gives them commands one at a time, collects their
 * answers. It never blocks: between command and answers it only waits for events.
 */
import { randomUUID } from "node:crypto";
import { bestKernelBuild, type KernelBuild } from "../../kernels/wasm-module.ts";
import type {
  Backend,
  DecodeProfile,
  DecodeRequest,
  Executable,
  ExecutableOptions,
  MemoryUse,
  Pass,
  PassResult,
} from "../backend.ts";
import { checkCopy, checkDecode, checkPass, type PassLimits } from "../check-pass.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { AbortError, errorMessage, ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import { withAbort } from "../../base/async/abort.ts";
import type { DeviceInfo } from "../generation/types.ts";
import { availableCores } from "../platform/system.ts";
import { startWorker, workerUrl, type Worker } from "../platform/workers.ts";
import { FORWARD, opAccess, type Program } from "../program.ts";
import { Control, createControl } from "./control.ts";
import { matrixBytes, planBytes, planMemory, type MemoryPlan } from "./plan.ts";
import {
  deserializeError,
  type Command,
  type MeasureCommand,
  type Reply,
  type Request,
  type Response,
  type WorkerData,
} from "./protocol.ts";
import { TokenChannel } from "./token-channel.ts";

/** Rows of one pass. More rows read the weights less often; the cost is memory and a slower answer to an abort. */
const MAX_ROWS = 256;
/** Within the 20 to 50 µs in which a balanced peer arrives. */
const SPIN_MILLISECONDS = 0.05;
const PROGRESS_INTERVAL_MILLISECONDS = 200;

export interface WasmOptions {
  /** Default: the available cores. */
  threads?: number;
  /** Default: the best that the engine runs. */
  kernelBuild?: KernelBuild;
  /** Rows of one pass; for tests. */
  maxRows?: number;
  /** Upper bound on one WebAssembly memory; for tests. */
  bankLimit?: number;
}

export class WasmBackend implements Backend {
  readonly threads: number;
  readonly kernelBuild: KernelBuild;
  readonly #options: WasmOptions;

  constructor(options: WasmOptions = {}) {
    this.threads = options.threads ?? availableCores();
    this.kernelBuild = options.kernelBuild ?? bestKernelBuild();
    this.#options = options;
  }

  get device(): DeviceInfo {
    const simd = this.kernelBuild === "relaxed" ? "relaxed SIMD" : "SIMD";
    const threads = `${this.threads} thread${this.threads === 1 ? "" : "s"}`;
    return { kind: "wasm", description: `wasm (${simd}, ${threads})`, threads: this.threads };
  }

  /** What loading will take, without loading. */
  plan(program: Program, checkpoint: Checkpoint, contextLength: number, slots: number): MemoryPlan {
    const { maxRows = MAX_ROWS, bankLimit } = this.#options;
    return planMemory(program, checkpoint, {
      threads: this.threads,
      // An encoder sees its input whole.
      maxRows: Math.max(
        16,
        program.architecture === "seq2seq" ? contextLength : Math.min(maxRows, contextLength),
      ),
      slots,
      contextLength,
      bankLimit,
    });
  }

  /**
   * Weights and cache lie in the same memories, so that room for the cache is reserved before the weights come: for the
   * most that a late context may be, which costs only address space. Where that much is not to be had, loading begins
   * anew when the length is known.
   */
  async load(program: Program, checkpoint: Checkpoint, options: ExecutableOptions): Promise<WasmExecutable> {
    const { contextLength, signal } = options;
    if (typeof contextLength === "number") {
      return this.#load(program, checkpoint, contextLength, options);
    }
    const { most, counted } = contextLength;
    try {
      return await this.#load(program, checkpoint, most, options);
    } catch (error) {
      if (!(error instanceof ModelComposeError) || error.code !== "out-of-memory") {
        throw error;
      }
      const known = await withAbort(counted, signal);
      if (known >= most) {
        throw error;
      }
      return this.#load(program, checkpoint, known, options);
    }
  }

  /** @param reserved positions to reserve room for */
  async #load(
    program: Program,
    checkpoint: Checkpoint,
    reserved: number,
    options: ExecutableOptions,
  ): Promise<WasmExecutable> {
    throwIfAborted(options.signal);
    const plan = this.plan(program, checkpoint, reserved, options.slots);
    const executable = new WasmExecutable(program, plan, this.device, this.kernelBuild);
    try {
      await executable.load(options);
      return executable;
    } catch (error) {
      await executable.dispose();
      throw error;
    }
  }
}

/** A command that all workers are working on. */
interface Running {
  command: number;
  answers: Map<number, Response>;
  settle: (outcome: Response[] | ModelComposeError) => void;
}

export class WasmExecutable implements Executable {
  readonly device: DeviceInfo;
  readonly maxRows: number;
  readonly #plan: MemoryPlan;
  readonly #program: Program;
  /** Its context is what may be used; the plan may have room for more. */
  #limits: PassLimits;
  readonly #control: Control;
  readonly #workers: Worker[];
  #lastCommand = 0;
  #running: Running | undefined;
  /** Calls wait for this one to end. */
  #queue: Promise<unknown> = Promise.resolve();
  #failure: ModelComposeError | undefined;
  #disposed: Promise<void> | undefined;

  constructor(program: Program, plan: MemoryPlan, device: DeviceInfo, kernelBuild: KernelBuild) {
    this.device = device;
    this.maxRows = plan.maxRows;
    this.#plan = plan;
    this.#program = program;
    this.#limits = { program, ...plan };
    const control = createControl(plan.threads);
    const spinMilliseconds = plan.threads > availableCores() ? 0 : SPIN_MILLISECONDS;
    this.#control = new Control(control, { threads: plan.threads, spinMilliseconds });
    const channel = `model-compose-${randomUUID()}`;
    const url = workerUrl(import.meta.url, { source: "./worker.ts", bundled: "wasm-worker.js" });
    this.#workers = Array.from({ length: plan.threads }, (_, index) => {
      const data: WorkerData = { index, plan, program, control, spinMilliseconds, kernelBuild, channel };
      const worker = startWorker(url, { name: `model-compose wasm ${index}`, data });
      // The owner of the model decides how long the process lives: dispose() ends the workers, an idle one waits.
      worker.on("message", (response: Response) => {
        this.#receive(response);
      });
      worker.on("error", (error: unknown) => {
        this.#lose(index, error);
      });
      worker.on("exit", (code) => {
        this.#lose(index, new Error(`worker ${index} ended with code ${code}`));
      });
      return worker;
    });
  }

  get contextLength(): number {
    return this.#limits.contextLength;
  }

  get memory(): MemoryUse {
    const weightBytesPerToken = bytesPerToken(this.#program, this.#plan);
    return { ...planBytes(this.#plan, this.contextLength), weightBytesPerToken };
  }

  async load({ contextLength, onWeights, signal }: ExecutableOptions): Promise<void> {
    const total = this.memory.weightBytes;
    const report = onWeights && ((): void => onWeights(Math.min(this.#control.loaded, total), total));
    await reporting(report, signal, async (either) => {
      await this.#call({ kind: "open" }, either);
      await this.#call({ kind: "load" }, either);
    });
    onWeights?.(total, total);
    if (typeof contextLength === "object") {
      this.#limits = { ...this.#limits, contextLength: await withAbort(contextLength.counted, signal) };
    }
  }

  async run(pass: Pass, signal?: AbortSignal): Promise<PassResult> {
    const { entry = FORWARD, tokens, slots, positions, sourceLength, logitRows = new Int32Array(0) } = pass;
    checkPass(pass, this.#limits);
    const logits = new SharedArrayBuffer(logitRows.length * this.#program.vocabSize * 4);
    const trace = pass.trace === true ? this.#traceBuffers(entry, tokens.length) : undefined;
    const command: Command = {
      ...{ kind: "run", entry, tokens, slots, positions, sourceLength, logitRows, logits, trace },
    };
    await reporting(this.#passReport(pass.onProgress), signal, (either) => this.#call(command, either));
    return {
      logits: new Float32Array(new Float32Array(logits)),
      activations: new Map(
        [...(trace ?? [])].map(([name, buffer]) => [name, new Float32Array(new Float32Array(buffer))]),
      ),
    };
  }

  async decode(request: DecodeRequest & { profile?: boolean }, signal?: AbortSignal): Promise<DecodeProfile> {
    const { onToken, onProgress, profile = false, tokens, slot, position, count, ...rest } = request;
    checkDecode(request, this.#limits);
    const channel = TokenChannel.create(count);
    const produced = channel.buffer;
    const command: Command = { kind: "decode", ...rest, tokens, slot, position, count, produced, profile };
    let number = 0;
    let seen = 0;
    let isWanted = true;
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
      if (!isWanted) {
        this.#control.cancel(number);
      }
    };
    let hasEnded = false;
    const deliver = async (): Promise<void> => {
      while (!hasEnded && isWanted) {
        await channel.after(seen);
        take();
      }
    };
    let delivery: Promise<void> | undefined;
    const onStart = (command: number): void => {
      number = command;
      delivery = deliver();
    };
    try {
      const report = this.#passReport(onProgress && ((done): void => void (seen === 0 && onProgress(done))));
      const replies = await reporting(report, signal, (either) =>
        this.#call(command, either, onStart, () => !isWanted),
      );
      take();
      if (failure !== undefined) {
        throw failure.error;
      }
      return {
        wallSeconds: replies[0]?.wallSeconds ?? 0,
        kernelSeconds: Math.max(0, ...replies.map((reply) => reply.kernelSeconds ?? 0)),
      };
    } finally {
      hasEnded = true;
      channel.wake();
      await delivery;
    }
  }

  #passReport(onProgress: ((fraction: number) => void) | undefined): (() => void) | undefined {
    return (
      onProgress &&
      ((): void => {
        onProgress(this.#control.progress);
      })
    );
  }

  async copySlot(from: number, to: number, length: number): Promise<void> {
    checkCopy(from, to, length, this.#limits);
    await this.#call({ kind: "copy", from, to, length });
  }

  /** Benchmarks: per worker, bytes or operations and seconds. */
  async measure(what: MeasureCommand["what"]): Promise<{ amount: number; seconds: number }[]> {
    const replies = await this.#call({ kind: "measure", what });
    return replies.map(({ amount = 0, seconds = 0 }) => ({ amount, seconds }));
  }

  dispose(): Promise<void> {
    this.#disposed ??= (async () => {
      const error = new ModelComposeError("disposed", "The model was disposed.", {
        remedy: "Load it again with loadModel().",
      });
      this.#failure ??= error;
      const running = this.#running;
      if (running !== undefined) {
        this.#control.cancel(running.command);
      }
      this.#control.poison(0);
      running?.settle(error);
      await Promise.all(this.#workers.map((worker) => worker.terminate()));
    })();
    return this.#disposed;
  }

  /** Gives one command to all workers and resolves with their replies, in order of index. */
  #call(
    command: Command,
    signal?: AbortSignal,
    onStart?: (number: number) => void,
    isCancelFine: () => boolean = () => false,
  ): Promise<Reply[]> {
    const turn = this.#queue.then(async () => {
      throwIfAborted(signal);
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      return this.#execute(command, signal, onStart, isCancelFine);
    });
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #execute(
    command: Command,
    signal: AbortSignal | undefined,
    onStart: ((number: number) => void) | undefined,
    isCancelFine: () => boolean,
  ): Promise<Reply[]> {
    const number = ++this.#lastCommand;
    const cancel = (): void => {
      this.#control.cancel(number);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const outcome = await new Promise<Response[] | ModelComposeError>((resolve) => {
        this.#control.progress = 0;
        this.#running = { command: number, answers: new Map(), settle: resolve };
        const request: Request = { ...command, command: number };
        for (const worker of this.#workers) {
          worker.postMessage(request);
        }
        onStart?.(number);
      });
      if (outcome instanceof ModelComposeError) {
        throw outcome;
      }
      const refusal = outcome.find((answer) => answer.kind === "error"); // the leader's, when several refuse
      if (refusal !== undefined) {
        throw deserializeError(refusal.error);
      }
      if (outcome.some((answer) => answer.kind === "cancelled")) {
        if (signal?.aborted || !isCancelFine()) {
          throw new AbortError(signal?.reason);
        }
      }
      return outcome.map((answer) => (answer.kind === "done" ? answer.reply : {}));
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#running = undefined;
    }
  }

  #receive(response: Response): void {
    if (response.kind === "failed") {
      this.#fail(deserializeError(response.error));
      return;
    }
    const running = this.#running;
    if (running?.command !== response.command) {
      return;
    }
    running.answers.set(response.index, response);
    if (running.answers.size < this.#workers.length) {
      return;
    }
    if ([...running.answers.values()].every((answer) => answer.kind === "left")) {
      return;
    } // "failed" is on its way
    running.settle([...running.answers].sort(([a], [b]) => a - b).map(([, answer]) => answer));
  }

  /** A worker died without a word. */
  #lose(index: number, error: unknown): void {
    if (this.#disposed !== undefined || this.#failure !== undefined) {
      return;
    }
    this.#control.poison(index);
    this.#fail(
      new ModelComposeError("device", `A compute worker was lost: ${errorMessage(error)}.`, {
        remedy: "Load the model again.",
        cause: error,
      }),
    );
  }

  /** The group is beyond repair: everything running and to come fails with `error`. */
  #fail(error: ModelComposeError): void {
    this.#failure ??= error;
    this.#running?.settle(error);
    for (const worker of this.#workers) {
      void worker.terminate();
    }
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

/** A table that is only looked up costs a row; every other matrix is read whole. */
function bytesPerToken(program: Program, plan: MemoryPlan): number {
  const read = new Set<string>();
  for (const group of program.entries.get(FORWARD) ?? []) {
    for (const op of group.ops) {
      if (op.role === "linear" || op.role === "logits") {
        read.add(op.weight);
      }
    }
  }
  return [...read].reduce((sum, name) => sum + matrixBytes(plan.matrices[name]), 0);
}
