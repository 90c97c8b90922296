/** Linear layers: one row (GEMV), many rows (blocked GEMM), and the logits of chosen rows. */
import type { LinearOp, LogitsOp } from "../program.ts";
import { columnRange, FORMAT_CODE, LOGIT_ROWS, PANEL, panelRange } from "./plan.ts";
import { kernelStep, type PassContext, type Step, type Worker } from "./pass.ts";

/** Work between two looks at the cancel flag, in multiply-adds: some 10 ms. */
const SLICE_OPERATIONS = 2 ** 28;

interface Target {
  /** Address of this worker's first column, and bytes between rows. */
  y: number;
  ldy: number;
}

/** Computes this worker's columns of x * weight^T (+ bias) for rows lying at `x`, `ldx` bytes apart. */
class LinearKernel {
  readonly #worker: Worker;
  readonly #bank: number;
  readonly #weight: string;
  readonly #bias: number | undefined;
  readonly #panels: number;
  readonly columns: { start: number; end: number };

  constructor(worker: Worker, weight: string, bias: string | undefined) {
    const matrix = worker.plan.matrices[weight];
    const panels = panelRange(matrix.rows, worker.index, worker.threads);
    this.#worker = worker;
    this.#weight = weight;
    this.#bank = matrix.bank;
    this.#panels = panels.end - panels.start;
    this.columns = columnRange(matrix.rows, worker.index, worker.threads);
    this.#bias = bias === undefined ? undefined : worker.plan.vectors[bias].offset + this.columns.start * 4;
  }

  /** For one row; the returned closure is the decode path. */
  row(x: number, { y }: Target, accumulate: boolean): () => void {
    const { kernels } = this.#worker.banks[this.#bank];
    const matrix = this.#worker.plan.matrices[this.#weight];
    const { scaled } = this.#worker.plan.banks[this.#bank].scratch;
    const { columns, offset } = matrix;
    const panels = this.#panels;
    const bias = this.#bias;
    const width = panels * PANEL;
    const add = accumulate || bias !== undefined ? 1 : 0;
    const withBias = (product: () => void): (() => void) =>
      bias === undefined
        ? product
        : () => {
            kernels.broadcast(bias, y, 1, width, 0, accumulate ? 1 : 0);
            product();
          };
    switch (matrix.format.dtype) {
      case "bf16":
        return withBias(() => {
          kernels.gemv_bf16(x, offset, panels, 0, panels, y, columns, add);
        });
      case "f16": {
        const count = Math.ceil(columns / 4) * 4;
        return withBias(() => {
          kernels.scale_f16(x, scaled, count);
          kernels.gemv_f16(scaled, offset, panels, 0, panels, y, columns, add);
        });
      }
      case "f32":
        return withBias(() => {
          kernels.gemv_f32(x, offset, panels, 0, panels, y, columns, add);
        });
    }
  }

  /** For many rows. */
  rows(
    x: number,
    ldx: number,
    rows: number,
    target: Target,
    accumulate: boolean,
    context: PassContext,
  ): void {
    const { control, plan } = this.#worker;
    if (control.isCancelRequested(context.command)) return;
    const { kernels } = this.#worker.banks[this.#bank];
    const { packed, panel } = plan.banks[this.#bank].scratch;
    const { columns, format, offset } = plan.matrices[this.#weight];
    const bias = this.#bias;
    kernels.pack_rows(x, ldx, rows, columns, packed);
    if (bias !== undefined) {
      kernels.broadcast(bias, target.y, rows, this.#panels * PANEL, target.ldy, accumulate ? 1 : 0);
    }
    const add = accumulate || bias !== undefined ? 1 : 0;
    const slice = Math.max(1, Math.floor(SLICE_OPERATIONS / (rows * columns * PANEL)));
    for (let first = 0; first < this.#panels; first += slice) {
      kernels.gemm(
        packed,
        rows,
        offset,
        this.#panels,
        first,
        Math.min(slice, this.#panels - first),
        target.y,
        target.ldy,
        columns,
        add,
        panel,
        FORMAT_CODE[format.dtype],
      );
      // The rest is skipped: everyone leaves at the next barrier, where the same flag is read.
      if (control.isCancelRequested(context.command)) return;
    }
  }
}

export function linearStep(worker: Worker, op: LinearOp, bank: number): Step {
  const { buffers } = worker.plan.banks[bank];
  const kernel = new LinearKernel(worker, op.weight, op.bias);
  const x = buffers[op.input];
  const ldx = worker.plan.strides[op.input];
  const target = { y: buffers[op.output] + kernel.columns.start * 4, ldy: worker.plan.strides[op.output] };
  const single = kernel.row(x, target, op.accumulate);
  return kernelStep((context) => {
    if (context.rows === 1) single();
    else kernel.rows(x, ldx, context.rows, target, op.accumulate, context);
  });
}

/** Computes logits of up to LOGIT_ROWS chosen rows into the bank's logits, this worker's columns only. */
export interface LogitsKernel {
  readonly bank: number;
  /** Address of the logits, [LOGIT_ROWS] rows, and f32 between rows. */
  readonly address: number;
  readonly stride: number;
  /** This worker's share of the vocabulary. */
  readonly columns: { start: number; end: number };
  compute(rows: ArrayLike<number>, context: PassContext): void;
}

export function logitsKernel(worker: Worker, op: LogitsOp, bank: number): LogitsKernel {
  const { plan } = worker;
  const { f32 } = worker.banks[bank];
  const { scratch, buffers } = plan.banks[bank];
  const kernel = new LinearKernel(worker, op.weight, op.bias);
  const x = buffers[op.input];
  const ldx = plan.strides[op.input];
  const stride = Math.ceil(plan.matrices[op.weight].rows / PANEL) * PANEL;
  const target = { y: scratch.logits + kernel.columns.start * 4, ldy: stride * 4 };
  const single = kernel.row(scratch.logitInput, target, false);
  return {
    bank,
    address: scratch.logits,
    stride,
    columns: kernel.columns,
    compute(rows, context) {
      if (rows.length > LOGIT_ROWS) throw new Error(`${rows.length} rows of logits at once`);
      for (let i = 0; i < rows.length; i++) {
        const from = (x + rows[i] * ldx) / 4;
        f32.copyWithin((scratch.logitInput + i * ldx) / 4, from, from + ldx / 4);
      }
      if (rows.length === 1) single();
      else kernel.rows(scratch.logitInput, ldx, rows.length, target, false, context);
    },
  };
}
