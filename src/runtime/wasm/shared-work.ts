/**
 * One row's column-parallel work between two barriers, shared by all workers. Rows of a matrix belong to a memory, not
 * to a thread: whoever has finished its own tasks takes some of a peer's and runs them in the peer's memory, so a stage
 * ends when the work ends, not when the slowest core does. Each output row has the same bits whoever computes it.
 */
import type { Program } from "../program.ts";
import { bytesPerPanel, taskCall } from "./column-steps.ts";
import { expertsPreparation } from "./expert-steps.ts";
import { rowPreparation } from "./linear-steps.ts";
import type { Control } from "./control.ts";
import type { Chain, Place } from "./instruction.ts";
import { kernelStep, type Step, type Worker } from "./pass.ts";
import { PANEL } from "../../kernels/format.ts";
import { columnRange, panelRange } from "./plan.ts";

/** Tasks shrink down to this many bytes of weights, some 10 microseconds of reading: the price of an uneven end. */
const LEAST_TASK_BYTES = 256 * 1024;
/** A worker helps this many of its neighbours: each costs an instance of the kernels a bank. */
const MOST_NEIGHBOURS = 7;

/** The number of panels of each task: half of what is left, down to the least. */
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
 * @param ready what every worker computed whole for itself since the last barrier and tasks read: before a worker helps, it
 *   writes it (the same bits) into the owner's memory, in case the owner has not come that far
 */
export function sharedStep(
  worker: Worker,
  program: Program,
  chains: readonly Chain[],
  ready: readonly Place[],
): Step {
  const { control } = worker;
  const owners = ownersFor(worker).map((owner) => {
    const tasks = chains
      .flatMap((chain) => tasksOf(worker, program, chain, owner))
      .sort((a, b) => b.bytes - a.bytes)
      .map(({ run }) => run);
    return {
      owner,
      tasks,
      prepare: prepareOwner(worker, owner, ready, preparationsOf(worker, owner, chains)),
    };
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

/** What must be made of the inputs of the chains' products, in an owner's memory, once before the first of them. */
function preparationsOf(worker: Worker, owner: number, chains: readonly Chain[]): (() => void)[] {
  const found = new Map<string, () => void>();
  for (const { ops, bank } of chains) {
    for (const op of ops) {
      if (op.role !== "linear" && op.role !== "logits" && op.role !== "experts") {
        continue;
      }
      const prepare =
        op.role === "experts"
          ? expertsPreparation(worker, op, bank)
          : rowPreparation(worker, op.weight, worker.plan.banks[bank].buffers[op.input]);
      const isWeighted = op.role === "experts" && op.kind === "sum";
      if (prepare !== undefined) {
        const kernels = worker.kernelsOf(owner, bank);
        found.set(`${bank} ${op.input}${isWeighted ? ` weighted by ${op.routes}` : ""}`, () => {
          prepare(kernels);
        });
      }
    }
  }
  return [...found.values()];
}

/** Everything that whoever runs tasks of an owner does before the first one; others write the same bits. */
function prepareOwner(
  worker: Worker,
  owner: number,
  ready: readonly Place[],
  preparations: readonly (() => void)[],
): () => void {
  const prepareInputs = (): void => {
    for (const prepare of preparations) {
      prepare();
    }
  };
  if (owner === worker.index) {
    return prepareInputs;
  }
  const copies = ready.map(({ buffer, bank }) => {
    const from = worker.plan.banks[bank].buffers[buffer] / 4;
    const row = worker.banks[bank].f32.subarray(from, from + worker.plan.strides[buffer] / 4);
    return { row, target: worker.all[owner][bank], from };
  });
  return () => {
    for (const { row, target, from } of copies) {
      target.set(row, from);
    }
    prepareInputs();
  };
}

function tasksOf(
  worker: Worker,
  program: Program,
  chain: Chain,
  owner: number,
): { bytes: number; run: () => void }[] {
  const { plan } = worker;
  const { start, end } = panelRange(chain.columns, owner, plan.threads);
  const kernels = worker.kernelsOf(owner, chain.bank);
  const columns = columnRange(chain.columns, owner, plan.threads);
  const calls = chain.ops.map((op) => taskCall(worker, program, op, chain.bank));
  const panelBytes = bytesPerPanel(worker, program, chain.ops);
  let first = 0;
  return taskSizes(end - start, panelBytes).map((count) => {
    const from = first;
    first += count;
    const pushes = chain.pushes.flatMap(({ buffer, bank, targets }) => {
      const lines = program.lines.get(buffer) ?? 1;
      const lineStride = plan.strides[buffer] / 4 / lines;
      const width =
        Math.min(columns.start + (from + count) * PANEL, columns.end) - columns.start - from * PANEL;
      const base = plan.banks[bank].buffers[buffer] / 4;
      return Array.from({ length: lines }, (_, line) => {
        const begin = line * lineStride + columns.start + from * PANEL;
        const destinations = worker.all.flatMap((banks, peer) =>
          targets
            .filter((to) => peer !== owner || to !== bank)
            .map((to) => ({ f32: banks[to], at: plan.banks[to].buffers[buffer] / 4 + begin })),
        );
        const part = worker.all[owner][bank].subarray(base + begin, base + begin + width);
        return { part, destinations };
      });
    });
    const run = (): void => {
      for (const call of calls) {
        call(kernels, owner, from, count);
      }
      for (const { part, destinations } of pushes) {
        for (const { f32, at } of destinations) {
          f32.set(part, at);
        }
      }
    };
    return { bytes: count * panelBytes, run };
  });
}
