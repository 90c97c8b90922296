/** Activations on their way from memory to memory, between workers and between the banks of one (instruction.ts). */
import { lineColumns, type Program } from "../program.ts";
import type { Transfer } from "./instruction.ts";
import { meet, otherStep, type Step, type Worker } from "./pass.ts";
import { columnRange } from "./plan.ts";

/** Copies this worker's share of a buffer's columns, of every line, to every other (worker, bank of `targets`), if there is one. */
export function pushColumns(
  worker: Worker,
  program: Program,
  { buffer, bank, targets }: Transfer,
): Step | undefined {
  const { start, end } = columnRange(lineColumns(program, buffer), worker.index, worker.threads);
  const destinations = destinationsOf(worker, bank, targets).map(({ peer, to }) => ({
    f32: worker.all[peer][to],
    from: worker.plan.banks[to].buffers[buffer] / 4 + start,
  }));
  const width = end - start;
  if (width === 0 || destinations.length === 0) {
    return undefined;
  }
  const source = worker.banks[bank].f32;
  const lines = program.lines.get(buffer) ?? 1;
  const stride = worker.plan.strides[buffer] / 4 / lines;
  const first = worker.plan.banks[bank].buffers[buffer] / 4 + start;
  // One row is the decode path: its views are made once.
  const row = source.subarray(first, first + width);
  const rowTargets = destinations.map(({ f32, from }) => f32.subarray(from, from + width));
  return otherStep((context) => {
    const count = context.rows * lines;
    if (count === 1) {
      for (const target of rowTargets) {
        target.set(row);
      }
      return;
    }
    for (let r = 0; r < count; r++) {
      const columnsOfRow = source.subarray(first + r * stride, first + r * stride + width);
      for (const { f32, from } of destinations) {
        f32.set(columnsOfRow, from + r * stride);
      }
    }
  });
}

/** Copies whole rows of `buffer`, which this worker has in `bank`, to its other banks of `targets`. */
export function copyWithin({ banks, plan }: Worker, { buffer, bank, targets }: Transfer): Step {
  const stride = plan.strides[buffer] / 4;
  const placeIn = (to: number): { f32: Float32Array; first: number } => ({
    f32: banks[to].f32,
    first: plan.banks[to].buffers[buffer] / 4,
  });
  const source = placeIn(bank);
  const copies = targets.filter((to) => to !== bank).map(placeIn);
  return otherStep(({ rows }) => {
    const values = source.f32.subarray(source.first, source.first + rows * stride);
    for (const { f32, first } of copies) {
      f32.set(values, first);
    }
  });
}

/** Copies whole rows [from, to) of `buffer` to the same bank of every other worker. */
export function pushRows(worker: Worker, buffer: string, bank: number): (from: number, to: number) => void {
  const stride = worker.plan.strides[buffer] / 4;
  const first = worker.plan.banks[bank].buffers[buffer] / 4;
  const source = worker.banks[bank].f32;
  const destinations = destinationsOf(worker, bank, [bank]);
  return (from, to) => {
    const rows = source.subarray(first + from * stride, first + to * stride);
    for (const { peer, to: other } of destinations) {
      worker.all[peer][other].set(rows, worker.plan.banks[other].buffers[buffer] / 4 + from * stride);
    }
  };
}

/** All (worker, bank) pairs but the source itself. */
function destinationsOf(
  worker: Worker,
  bank: number,
  targets: readonly number[],
): { peer: number; to: number }[] {
  return worker.all.flatMap((_, peer) =>
    targets.filter((to) => peer !== worker.index || to !== bank).map((to) => ({ peer, to })),
  );
}

/** A barrier as a step: throws Cancelled there when the pass was cancelled. */
export function barrierStep(worker: Worker): Step {
  return otherStep((context) => {
    meet(worker, context);
  });
}
