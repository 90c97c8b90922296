/** What the steps of a compiled program share while a pass runs, and what one worker knows of its group. */
import type { Kernels } from "../../kernels/wasm-module.ts";
import type { Bank } from "./memory.ts";
import type { Control } from "./control.ts";
import type { KvBlocks } from "./kv-blocks.ts";
import type { MemoryPlan } from "./plan.ts";

/** One worker, its banks and its peers'. */
export interface Worker {
  index: number;
  threads: number;
  plan: MemoryPlan;
  banks: readonly Bank[];
  /** All workers' banks as f32, this worker's included: [worker][bank]. */
  all: readonly (readonly Float32Array[])[];
  /** This thread's kernels over any worker's bank. */
  kernelsOf: (worker: number, bank: number) => Kernels;
  /**
   * How products with quantised weights multiply integers, one of DOTS; undefined: not at all, the weights are widened and the
   * activations stay f32.
   */
  integerDot: number | undefined;
  /** Tokens that each sequence drafts; undefined: as many as gain. */
  drafts: number | undefined;
  /** Where its blocks of the KV cache lie. */
  blocks: KvBlocks;
  control: Control;
  clock: KernelClock;
}

/** Adds up the time spent in kernels, when asked to. */
export interface KernelClock {
  enabled: boolean;
  seconds: number;
}

/** Stands for the command of a step that no command can cancel. */
export const NO_COMMAND = -1;

/** The pass that is running. */
export interface PassContext {
  /** The command that it may be cancelled with, or NO_COMMAND. */
  command: number;
  rows: number;
  tokens: Int32Array;
  slots: Int32Array;
  positions: Int32Array;
  /** Positions of the source layers; 0 without an encoder. */
  sourceLength: number;
  /** Where to put named activations, for debugging; absent otherwise. */
  trace?: TraceSink;
}

export type TraceSink = (name: string, buffer: string, isWhole: boolean, bank: number) => void;

/** Thrown inside a worker to leave a cancelled pass; every worker throws it at the same barrier. */
export class Cancelled extends Error {
  constructor() {
    super("The command was cancelled.");
  }
}

/** Meets the other workers; throws Cancelled when the command was cancelled. */
export function meet(worker: Worker, context: PassContext): void {
  if (worker.control.barrier(context.command)) {
    throw new Cancelled();
  }
}

/** One piece of a compiled program. `isKernel`: computation, as opposed to exchange and waiting. */
export interface Step {
  isKernel: boolean;
  run: (context: PassContext) => void;
}

/**
 * A kernel call of a task: on panels [first, first + count) of those that worker `owner` has, by `kernels`, an instance over
 * that worker's memory.
 */
export type TaskCall = (kernels: Kernels, owner: number, first: number, count: number) => void;

export function kernelStep(run: Step["run"]): Step {
  return { isKernel: true, run };
}

export function otherStep(run: Step["run"]): Step {
  return { isKernel: false, run };
}

export function runSteps(steps: readonly Step[], context: PassContext, clock: KernelClock): void {
  if (!clock.enabled) {
    for (const step of steps) {
      step.run(context);
    }
    return;
  }
  // One look at the clock a step: it costs as much as a small kernel's call.
  let before = performance.now();
  for (const step of steps) {
    step.run(context);
    const after = performance.now();
    if (step.isKernel) {
      clock.seconds += (after - before) / 1000;
    }
    before = after;
  }
}
