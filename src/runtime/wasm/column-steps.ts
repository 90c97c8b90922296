/** Column-parallel ops as kernel calls: on all of a worker's own columns, or on some panels of whoever owns a task. */
import { ACTIVATION_CODE, type Kernels } from "../../kernels/wasm-module.ts";
import { chosenExperts, lineColumns, opAccess, type LogitsOp, type Program } from "../program.ts";
import { expertsCall, expertsStep } from "./expert-steps.ts";
import type { ColumnOp } from "./instruction.ts";
import { linearStep, rowProduct } from "./linear-steps.ts";
import { kernelStep, type Step, type TaskCall, type Worker } from "./pass.ts";
import { PANEL, panelBytes } from "../../kernels/format.ts";
import { columnRange, roundUp } from "./plan.ts";

/** All columns of this worker, for any number of rows. `isPacked`: see linearStep. */
export function columnsStep(
  worker: Worker,
  program: Program,
  op: ColumnOp,
  { bank, isPacked }: { bank: number; isPacked: boolean },
): Step {
  if (op.role === "linear") {
    return linearStep(worker, op, { bank, isPacked });
  }
  if (op.role === "experts") {
    return expertsStep(worker, op, bank);
  }
  const { kernels } = worker.banks[bank];
  const [output] = opAccess(op).writes;
  const lines = program.lines.get(output) ?? 1;
  const { start, end } = columnRange(lineColumns(program, output), worker.index, worker.threads);
  const width = roundUp(end - start, PANEL);
  const call = elementwiseCall(worker, op, bank, lines);
  return kernelStep(({ rows }) => {
    call(kernels, start * 4, rows * lines, width);
  });
}

/** One row of panels [first, first + count) of any owner's. */
export function taskCall(worker: Worker, program: Program, op: ColumnOp | LogitsOp, bank: number): TaskCall {
  const { plan } = worker;
  const { buffers, scratch } = plan.banks[bank];
  if (op.role === "linear") {
    return rowProduct(worker, op, buffers[op.input], buffers[op.output], op.accumulate);
  }
  if (op.role === "logits") {
    return rowProduct(worker, op, buffers[op.input], scratch.logits, false);
  }
  if (op.role === "experts") {
    return expertsCall(worker, op, bank);
  }
  const [output] = opAccess(op).writes;
  const lines = program.lines.get(output) ?? 1;
  const columns = lineColumns(program, output);
  const starts = Array.from(
    { length: plan.threads },
    (_, owner) => columnRange(columns, owner, plan.threads).start * 4,
  );
  const call = elementwiseCall(worker, op, bank, lines);
  return (kernels, owner, first, count) => {
    call(kernels, starts[owner] + first * PANEL * 4, lines, count * PANEL);
  };
}

/** Bytes of memory that a task reads and writes for one panel: its weights, or what is elementwise where it has none. */
export function bytesPerPanel(
  { plan }: Worker,
  program: Program,
  ops: readonly (ColumnOp | LogitsOp)[],
): number {
  const weights = ops.reduce((sum, op) => {
    if (op.role === "experts") {
      const { format, columns } = plan.matrices[op.weights[0]];
      return sum + chosenExperts(program, op) * panelBytes(format, columns);
    }
    if (op.role !== "linear" && op.role !== "logits") {
      return sum;
    }
    const { format, columns } = plan.matrices[op.weight];
    return sum + panelBytes(format, columns);
  }, 0);
  const places = ops.reduce((sum, op) => {
    const { reads, writes } = opAccess(op);
    const lines = program.lines.get(writes[0]) ?? 1;
    return sum + (reads.length + writes.length) * lines;
  }, 0);
  return weights > 0 ? weights : places * PANEL * 4;
}

type ElementwiseOp = Exclude<ColumnOp, { role: "linear" | "experts" }>;

/** The op over `rows` rows, or lines of rows, of `width` columns (a multiple of 4), from byte `from` of a row on. */
type ElementwiseCall = (kernels: Kernels, from: number, rows: number, width: number) => void;

function elementwiseCall({ plan }: Worker, op: ElementwiseOp, bank: number, lines: number): ElementwiseCall {
  const { buffers } = plan.banks[bank];
  const stride = plan.strides[opAccess(op).writes[0]] / lines;
  switch (op.role) {
    case "gate": {
      const [gate, up, y] = [buffers[op.gate], buffers[op.up], buffers[op.output]];
      const code = ACTIVATION_CODE[op.activation];
      const { clamp } = op;
      if (clamp !== undefined) {
        return (kernels, from, rows, width) => {
          const { alpha, limit } = clamp;
          kernels.gate_clamped(gate + from, up + from, y + from, rows, width, stride, alpha, limit);
        };
      }
      return (kernels, from, rows, width) => {
        kernels.gate(gate + from, up + from, y + from, rows, width, stride, code);
      };
    }
    case "activate": {
      const [x, y] = [buffers[op.input], buffers[op.output]];
      const code = ACTIVATION_CODE[op.activation];
      return (kernels, from, rows, width) => {
        kernels.activate(x + from, y + from, rows, width, stride, code);
      };
    }
    case "add": {
      const [x, y] = [buffers[op.input], buffers[op.target]];
      return (kernels, from, rows, width) => {
        kernels.add(x + from, y + from, rows, width, stride);
      };
    }
  }
}
