/**
 * One row's column-parallel work between two barriers, shared by all workers. Rows of a matrix belong to a memory, not
 * to a thread: whoever has finished its own tasks takes some of a peer's and runs them in the peer's memory, so a stage
 * ends when the work ends, not when the slowest core does. Each output row has the same bits whoever computes it.
 */
import type { Kernels } from "../../kernels/wasm-module.ts";
import type { Name } from "../program.ts";
import type { Control } from "./control.ts";
import { kernelStep, type Step, type Worker } from "./pass.ts";
import { PANEL } from "../../kernels/format.ts";
import { columnRange, panelRange } from "./plan.ts";

/** Tasks shrink down to this many bytes of weights, some 10 microseconds of reading: the price of an uneven end. */
const LEAST_TASK_BYTES = 256 * 1024;
/** A worker helps this many of its neighbours: each costs an instance of the kernels a bank. */
const MOST_NEIGHBOURS = 7;

/** One kernel call of a chain, on panels [first, first + count) of the memory's own panels. */
export type ChainCall = (kernels: Kernels, owner: number, first: number, count: number) => void;

/** Ops on the same columns, one after another: up and gate and their product, or one linear layer alone. */
export interface Chain {
  /** Rows of the matrices, which are the columns of the outputs. */
  rows: number;
  /** Weight bytes of one panel. */
  bytesPerPanel: number;
  bank: number;
  calls: ChainCall[];
  outputs: Name[];
  /** Outputs that someone reads whole, and the banks where. */
  pushes: { buffer: Name; targets: ReadonlySet<number> }[];
}

/** Panels of each task: half of what is left, down to the least. */
function taskSizes(panels: number, bytesPerPanel: number): number[] {
  const least = Math.max(1, Math.floor(LEAST_TASK_BYTES / bytesPerPanel));
  const sizes: number[] = [];
  for (let left = panels; left > 0; left -= sizes[sizes.length - 1]) {
    sizes.push(Math.min(left, Math.max(least, Math.ceil(left / 2))));
  }
  return sizes;
}

/** The owners whose tasks a worker runs, itself first. */
function ownersFor({ index, threads }: Worker): number[] {
  return Array.from({ length: Math.min(threads, 1 + MOST_NEIGHBOURS) }, (_, i) => (index + i) % threads);
}

/**
 * All tasks of the chains as one step.
 *
 * @param inputs whole buffers that every worker computed for itself since the last barrier, and their bank: before a
 *   worker helps, it writes them (the same bits) into the owner's memory, in case the owner has not come that far. The
 *   kernels that make them (norms, `combine`) store each number once, when it is final: a helper may be reading it
 */
export function sharedStep(
  worker: Worker,
  chains: readonly Chain[],
  inputs: readonly { buffer: Name; bank: number }[],
): Step {
  const { control } = worker;
  const owners = ownersFor(worker).map((owner) => {
    const tasks = chains
      .flatMap((chain) => tasksOf(worker, chain, owner))
      .sort((a, b) => b.bytes - a.bytes)
      .map(({ run }) => run);
    return { owner, tasks, prepare: prepareOwner(worker, owner, inputs) };
  });
  return kernelStep(() => {
    for (const { owner, tasks, prepare } of owners) {
      runTasks(control, owner, tasks, prepare);
    }
  });
}

function runTasks(
  control: Control,
  owner: number,
  tasks: readonly (() => void)[],
  prepare: () => void,
): void {
  let isPrepared = false;
  for (;;) {
    const task = control.takeTask(owner, tasks.length);
    if (task < 0) {
      return;
    }
    if (!isPrepared) {
      prepare();
      isPrepared = true;
    }
    tasks[task]();
  }
}

function prepareOwner(
  worker: Worker,
  owner: number,
  inputs: readonly { buffer: Name; bank: number }[],
): () => void {
  if (owner === worker.index) {
    return () => undefined;
  }
  const copies = inputs.map(({ buffer, bank }) => {
    const from = worker.plan.banks[bank].buffers[buffer] / 4;
    const row = worker.banks[bank].f32.subarray(from, from + worker.plan.strides[buffer] / 4);
    return { row, target: worker.all[owner][bank], from };
  });
  return () => {
    for (const { row, target, from } of copies) {
      target.set(row, from);
    }
  };
}

function tasksOf(worker: Worker, chain: Chain, owner: number): { bytes: number; run: () => void }[] {
  const { plan } = worker;
  const { start, end } = panelRange(chain.rows, owner, plan.threads);
  const kernels = worker.kernelsOf(owner, chain.bank);
  const columns = columnRange(chain.rows, owner, plan.threads);
  let first = 0;
  return taskSizes(end - start, chain.bytesPerPanel).map((count) => {
    const from = first;
    first += count;
    const pushes = chain.pushes.map(({ buffer, targets }) => {
      const begin = columns.start + from * PANEL;
      const finish = Math.min(columns.start + (from + count) * PANEL, columns.end);
      const base = plan.banks[chain.bank].buffers[buffer] / 4;
      const destinations = worker.all.flatMap((banks, peer) =>
        [...targets]
          .filter((bank) => peer !== owner || bank !== chain.bank)
          .map((bank) => ({ f32: banks[bank], at: plan.banks[bank].buffers[buffer] / 4 + begin })),
      );
      return { part: worker.all[owner][chain.bank].subarray(base + begin, base + finish), destinations };
    });
    const run = (): void => {
      for (const call of chain.calls) {
        call(kernels, owner, from, count);
      }
      for (const { part, destinations } of pushes) {
        for (const { f32, at } of destinations) {
          f32.set(part, at);
        }
      }
    };
    return { bytes: count * chain.bytesPerPanel, run };
  });
}
