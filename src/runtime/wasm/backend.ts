/** The CPU device: plans a program for so many threads, and loads it. */
import { bestKernelBuild, type KernelBuild } from "../../kernels/wasm-module.ts";
import { throwIfAborted } from "../../base/errors.ts";
import type { Backend, ExecutableOptions, LoadHooks, MemoryUse, Preparation } from "../backend.ts";
import { checkProgram } from "../check-program.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { requireFormat } from "../checkpoint/weight-source.ts";
import type { DeviceInfo } from "../generation/types.ts";
import { availableCores } from "../platform/system.ts";
import { FORWARD, type Program } from "../program.ts";
import { WasmExecutable, type WasmPlan } from "./executable.ts";
import { placedBytes, planBytes, planMemory, type MemoryPlan } from "./plan.ts";

/** Rows of one pass. More rows read the weights less often; the cost is memory and a slower answer to an abort. */
const MAX_ROWS = 256;

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

  // Async, so that what is refused rejects.
  // eslint-disable-next-line @typescript-eslint/require-await
  async prepare(
    program: Program,
    checkpoint: Checkpoint,
    { contextLength, slots, format }: ExecutableOptions,
  ): Promise<WasmPreparation> {
    checkProgram(program);
    requireFormat(program, checkpoint, format);
    const { maxRows = MAX_ROWS, bankLimit } = this.#options;
    const plan = planMemory(program, checkpoint, {
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
    return new WasmPreparation(program, plan, this.device, this.kernelBuild);
  }
}

export class WasmPreparation implements Preparation, WasmPlan {
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly plan: MemoryPlan;
  readonly kernelBuild: KernelBuild;
  readonly #program: Program;

  constructor(program: Program, plan: MemoryPlan, device: DeviceInfo, kernelBuild: KernelBuild) {
    this.device = device;
    this.memory = { ...planBytes(plan), weightBytesPerToken: bytesPerToken(program, plan) };
    this.plan = plan;
    this.#program = program;
    this.kernelBuild = kernelBuild;
  }

  async load(hooks: LoadHooks = {}): Promise<WasmExecutable> {
    throwIfAborted(hooks.signal);
    const executable = new WasmExecutable(this.#program, this);
    try {
      await executable.load(hooks);
      return executable;
    } catch (error) {
      await executable.dispose();
      throw error;
    }
  }

  /** Nothing was opened. */
  dispose(): Promise<void> {
    return Promise.resolve();
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
  return [...read].reduce((sum, name) => sum + placedBytes(plan.matrices[name]), 0);
}
