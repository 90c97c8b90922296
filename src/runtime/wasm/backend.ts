/** The CPU device: plans a program for so many threads, and loads it. */
import { DOTS, type Dot, type KernelBuild } from "../../kernels/wasm-module.ts";
import { withAbort } from "../../base/async/abort.ts";
import { ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import type {
  Backend,
  ExecutableOptions,
  LateContext,
  LoadHooks,
  MemoryUse,
  MoreSlots,
  Preparation,
} from "../backend.ts";
import { checkProgram } from "../check-program.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { DeviceInfo } from "../device-types.ts";
import { admittedLength } from "../late-context.ts";
import { availableCores } from "../platform/system.ts";
import type { Program } from "../program.ts";
import { weightsRead } from "../weights-read.ts";
import { WasmExecutable } from "./executable.ts";
import type { CacheSource } from "../platform/quantized-cache.ts";
import { cacheSourceOf } from "./load-cached.ts";
import { bestIntegerDot, requireDot } from "./integer-dot.ts";
import { bestKernelBuild, kernelModule } from "./kernel-builds.ts";
import {
  KV_BLOCK,
  planBytes,
  planMemory,
  placedBytes,
  workBytes,
  type MemoryPlan,
  type PlanOptions,
} from "./plan.ts";

/**
 * The most rows of one pass. More rows read the weights less often; the cost is memory and a slower answer to an abort.
 */
const MAX_ROWS = 256;

/** What a build uses, for people. */
const SIMD: Record<KernelBuild, string> = {
  "wide-256": "256-bit SIMD",
  "relaxed-128": "relaxed SIMD",
  baseline: "SIMD",
};

export interface WasmOptions {
  /** Number of worker threads. Default: the available cores. */
  threads?: number;
  /** Which kernels to run. Default: the best that the engine runs. */
  kernelBuild?: KernelBuild;
  /** How they multiply integers. Default: the fastest way that is right here. */
  integerDot?: Dot;
  /** The most rows of one pass; for tests. */
  maxRows?: number;
  /** Upper bound on one WebAssembly memory, in bytes; for tests. */
  bankLimit?: number;
  /** Tokens that each decoded sequence drafts; for tests. Default: as many as gain. */
  drafts?: number;
}

export class WasmBackend implements Backend {
  readonly threads: number;
  readonly kernelBuild: KernelBuild;
  /** What a user should know of the choice of kernels, if anything. */
  readonly notice: string | undefined;
  readonly #options: WasmOptions;

  /** @throws ModelComposeError "unsupported" for kernels that do not run here */
  constructor(options: WasmOptions = {}) {
    this.threads = options.threads ?? availableCores();
    const { build, notice } =
      options.kernelBuild === undefined ? bestKernelBuild() : { build: options.kernelBuild };
    kernelModule(build);
    if (options.integerDot !== undefined) {
      requireDot(build, options.integerDot);
    }
    this.kernelBuild = build;
    this.notice = notice;
    this.#options = options;
  }

  /** How products with quantised weights multiply integers; tried out when it is first asked for. */
  get integerDot(): Dot {
    return this.#options.integerDot ?? bestIntegerDot(this.kernelBuild);
  }

  get device(): DeviceInfo {
    const simd = SIMD[this.kernelBuild];
    const threads = `${this.threads} thread${this.threads === 1 ? "" : "s"}`;
    return { kind: "wasm", description: `wasm (${simd}, ${threads})`, threads: this.threads };
  }

  async prepare(
    program: Program,
    checkpoint: Checkpoint,
    options: ExecutableOptions,
  ): Promise<WasmPreparation> {
    const {
      contextLength,
      slots,
      more,
      format,
      quantization = "none",
      activations = "int8",
      kvPrecision,
    } = options;
    checkProgram(program);
    const { maxRows = MAX_ROWS, bankLimit } = this.#options;
    const planOf = (length: number, room?: SlotRoom): MemoryPlan =>
      planMemory(program, checkpoint, {
        threads: this.threads,
        maxRows: rowsOfPass(program, length, maxRows),
        slots,
        contextLength: length,
        ...room,
        quantization,
        format,
        kvPrecision,
        bankLimit,
      });
    const planFor = (length: number): MemoryPlan => {
      const plan = planOf(length);
      const room = more && roomFor(plan, more);
      if (room === undefined) {
        return plan;
      }
      try {
        return planOf(length, room);
      } catch (error) {
        // What need not be there may not fit into one memory.
        if (isOutOfMemory(error)) {
          return plan;
        }
        throw error;
      }
    };
    const plan =
      typeof contextLength === "number" ? planFor(contextLength) : await reserve(contextLength, planFor);
    const { device, kernelBuild } = this;
    const multipliesIntegers = quantization !== "none" && activations === "int8";
    const integerDot = multipliesIntegers ? DOTS[this.integerDot] : undefined;
    const { quantizedCache: label } = options;
    const cacheSource =
      label === undefined ? undefined : cacheSourceOf(plan, { quantization, label, files: checkpoint.files });
    return new WasmPreparation({
      program,
      plan,
      planFor,
      contextLength,
      device,
      kernelBuild,
      integerDot,
      drafts: this.#options.drafts,
      cacheSource,
    });
  }
}

/** Rows of the largest pass. An encoder sees its input whole. */
function rowsOfPass({ architecture }: Program, contextLength: number, most: number): number {
  return Math.max(16, architecture === "seq2seq" ? contextLength : Math.min(most, contextLength));
}

/**
 * Bytes of activations and scratch of a program on the CPU, about, of one sequence at a time.
 *
 * @param heldBytes bytes of weights and cache
 */
export function cpuWorkBytes(
  program: Program,
  options: Pick<PlanOptions, "threads" | "contextLength" | "kvPrecision">,
  heldBytes: number,
): number {
  const maxRows = rowsOfPass(program, options.contextLength, MAX_ROWS);
  return workBytes(program, { ...options, slots: 1, maxRows }, heldBytes);
}

type SlotRoom = Required<Pick<PlanOptions, "slots" | "positions">>;

/** Slots and positions beyond those of a plan, as far as the bytes go; undefined where they do not. */
function roomFor(
  { threads, slots, poolBlocks, blockBytes, kv }: MemoryPlan,
  more: MoreSlots,
): SlotRoom | undefined {
  const unitBytes = kv.filter(({ isSource }) => !isSource).length * blockBytes * threads;
  const units = Math.max(poolBlocks, Math.floor(more.kvBytes / Math.max(1, unitBytes)));
  const most = Math.min(more.slots, units);
  return most > slots ? { slots: most, positions: units * threads * KV_BLOCK } : undefined;
}

/**
 * Plans for a context that comes late. Weights and cache lie in the same memories, so that room for the cache is
 * reserved before the weights come: for the longest that it may be, which costs only address space. Where memories
 * never hold that much, the length is waited for.
 */
async function reserve(
  { most, counted }: LateContext,
  planFor: (length: number) => MemoryPlan,
): Promise<MemoryPlan> {
  try {
    return planFor(most);
  } catch (error) {
    if (isOutOfMemory(error)) {
      return planFor(await counted);
    }
    throw error;
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof ModelComposeError && error.code === "out-of-memory";
}

interface PreparationParts {
  readonly program: Program;
  /** What the device allocates; with a late context, what is reserved for it. */
  readonly plan: MemoryPlan;
  readonly planFor: (contextLength: number) => MemoryPlan;
  readonly contextLength: ExecutableOptions["contextLength"];
  readonly device: DeviceInfo;
  readonly kernelBuild: KernelBuild;
  readonly integerDot: number | undefined;
  readonly drafts: number | undefined;
  readonly cacheSource: CacheSource | undefined;
}

export class WasmPreparation implements Preparation {
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly plan: MemoryPlan;
  readonly #parts: PreparationParts;

  constructor(parts: PreparationParts) {
    const { plan, contextLength, device } = parts;
    this.#parts = parts;
    this.device = device;
    this.plan = plan;
    this.memory = this.#memoryOf(
      typeof contextLength === "number" ? plan : parts.planFor(contextLength.least),
    );
  }

  memoryFor(contextLength: number): MemoryUse {
    return this.#memoryOf(this.#parts.planFor(contextLength));
  }

  #memoryOf(plan: MemoryPlan): MemoryUse {
    return { ...planBytes(plan), weightBytesPerToken: bytesPerToken(this.#parts.program, plan) };
  }

  async load(hooks: LoadHooks = {}): Promise<WasmExecutable> {
    throwIfAborted(hooks.signal);
    const length = admittedLength(this.#parts.contextLength, hooks);
    try {
      return await this.#load(this.plan, length, hooks);
    } catch (error) {
      if (length === undefined || !isOutOfMemory(error)) {
        throw error;
      }
      // The system does not give the address space for the longest context; the one that was counted may be short.
      const counted = await withAbort(length, hooks.signal);
      if (counted >= this.plan.contextLength) {
        throw error;
      }
      return this.#load(this.#parts.planFor(counted), length, hooks);
    }
  }

  async #load(
    plan: MemoryPlan,
    length: Promise<number> | undefined,
    hooks: LoadHooks,
  ): Promise<WasmExecutable> {
    const { program, device, kernelBuild, integerDot, drafts, cacheSource } = this.#parts;
    const executable = new WasmExecutable(program, {
      plan,
      device,
      memory: this.#memoryOf(plan),
      kernelBuild,
      integerDot,
      drafts,
      cacheSource,
    });
    try {
      await executable.load(hooks, length);
      return executable;
    } catch (error) {
      await executable.dispose();
      throw error;
    }
  }

  /** Does nothing, since nothing was opened. */
  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Bytes of weights that a decoded token reads: a matrix of a product is read whole, of experts as many as are chosen; a table
 * that is only looked up counts for nothing.
 */
function bytesPerToken(program: Program, plan: MemoryPlan): number {
  return [...weightsRead(program)].reduce(
    (sum, [name, part]) => sum + part * placedBytes(plan.matrices[name]),
    0,
  );
}
