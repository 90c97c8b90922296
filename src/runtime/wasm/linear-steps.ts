/** Linear layers: one row (GEMV), many rows (blocked GEMM), and the logits of chosen rows. */
import type { LinearOp, LogitsOp } from "../program.ts";
import { FORMATS, PANEL } from "../../kernels/format.ts";
import { columnRange, LOGIT_ROWS, panelRange } from "./plan.ts";
import { kernelStep, type PassContext, type Step, type TaskCall, type Worker } from "./pass.ts";

/** Work between two looks at the cancel flag, in multiply-adds: some 10 ms. */
const SLICE_OPERATIONS = 2 ** 28;

interface Target {
  /** Address of this worker's first column; rows are `ldy` bytes apart. */
  y: number;
  ldy: number;
}

/** The weights of an op. */
type Weighted = Pick<LinearOp, "weight" | "bias">;

/**
 * One row of x * weight^T (+ bias) on any owner's panels, for whoever computes them. `x` and `y` (the output's column 0)
 * are addresses, the same in every owner's bank.
 */
export function rowProduct(
  worker: Worker,
  { weight, bias }: Weighted,
  x: number,
  y: number,
  accumulate: boolean,
): TaskCall {
  const { plan } = worker;
  const { rows, columns, format, offset, bank } = plan.matrices[weight];
  const { scaled } = plan.banks[bank].scratch;
  const scaledCount = Math.ceil(columns / 4) * 4;
  const biasAddress = bias === undefined ? undefined : plan.vectors[bias].offset;
  const add = accumulate || bias !== undefined ? 1 : 0;
  const owners = Array.from({ length: plan.threads }, (_, owner) => {
    const { start, end } = panelRange(rows, owner, plan.threads);
    return { panels: end - start, from: start * PANEL * 4 };
  });
  return (kernels, owner, first, count) => {
    const { panels, from } = owners[owner];
    if (biasAddress !== undefined) {
      const part = from + first * PANEL * 4;
      kernels.broadcast(biasAddress + part, y + part, 1, count * PANEL, 0, accumulate ? 1 : 0);
    }
    switch (format) {
      case "bf16":
        kernels.gemv_bf16(x, offset, panels, first, count, y + from, columns, add);
        break;
      case "f16":
        // A worker that helps writes the same numbers to the same place.
        kernels.scale_f16(x, scaled, scaledCount);
        kernels.gemv_f16(scaled, offset, panels, first, count, y + from, columns, add);
        break;
      case "f32":
        kernels.gemv_f32(x, offset, panels, first, count, y + from, columns, add);
        break;
      case "i8-row":
        kernels.gemv_i8_row(x, offset, panels, first, count, y + from, columns, add);
        break;
    }
  };
}

/** Computes this worker's columns of x * weight^T (+ bias) for rows lying at `x`, `ldx` bytes apart. */
class LinearKernel {
  readonly #worker: Worker;
  readonly #bank: number;
  readonly #op: Weighted;
  readonly #bias: number | undefined;
  readonly #panels: number;
  readonly columns: { start: number; end: number };

  constructor(worker: Worker, op: Weighted) {
    const { weight, bias } = op;
    const matrix = worker.plan.matrices[weight];
    const panels = panelRange(matrix.rows, worker.index, worker.threads);
    this.#worker = worker;
    this.#op = op;
    this.#bank = matrix.bank;
    this.#panels = panels.end - panels.start;
    this.columns = columnRange(matrix.rows, worker.index, worker.threads);
    this.#bias = bias === undefined ? undefined : worker.plan.vectors[bias].offset + this.columns.start * 4;
  }

  /** The product for one row, to be called again and again. */
  row(x: number, { y }: Target, accumulate: boolean): () => void {
    const { index, banks } = this.#worker;
    const { kernels } = banks[this.#bank];
    const panels = this.#panels;
    const columnZero = y - this.columns.start * 4;
    const product = rowProduct(this.#worker, this.#op, x, columnZero, accumulate);
    return () => {
      product(kernels, index, 0, panels);
    };
  }

  /** Computes the product for many rows. */
  rows(
    x: number,
    ldx: number,
    rows: number,
    target: Target,
    accumulate: boolean,
    context: PassContext,
    isPacked = false,
  ): void {
    const { control, plan } = this.#worker;
    if (control.isCancelRequested(context.command)) {
      return;
    }
    const { kernels } = this.#worker.banks[this.#bank];
    const { packed, panel } = plan.banks[this.#bank].scratch;
    const { columns, format, offset } = plan.matrices[this.#op.weight];
    const bias = this.#bias;
    if (!isPacked) {
      kernels.pack_rows(x, ldx, rows, columns, packed);
    }
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
        FORMATS[format].code,
      );
      // After a cancel the rest is skipped: everyone leaves at the next barrier, where the same flag is read.
      if (control.isCancelRequested(context.command)) {
        return;
      }
    }
  }
}

/** @param isPacked whether the step before was a linear layer of the same input, and has packed its rows */
export function linearStep(
  worker: Worker,
  op: LinearOp,
  { bank, isPacked }: { bank: number; isPacked: boolean },
): Step {
  const { buffers } = worker.plan.banks[bank];
  const kernel = new LinearKernel(worker, op);
  const x = buffers[op.input];
  const ldx = worker.plan.strides[op.input];
  const target = { y: buffers[op.output] + kernel.columns.start * 4, ldy: worker.plan.strides[op.output] };
  const single = kernel.row(x, target, op.accumulate);
  return kernelStep((context) => {
    if (context.rows === 1) {
      single();
    } else {
      kernel.rows(x, ldx, context.rows, target, op.accumulate, context, isPacked);
    }
  });
}

/** Computes logits of up to LOGIT_ROWS chosen rows into the bank's logits, this worker's columns only. */
export interface LogitsKernel {
  readonly bank: number;
  /** Address of the logits, [LOGIT_ROWS] rows of f32 that lie `stride` f32 apart. */
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
  const kernel = new LinearKernel(worker, op);
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
      if (rows.length > LOGIT_ROWS) {
        throw new Error(`${rows.length} rows of logits at once`);
      }
      for (let i = 0; i < rows.length; i++) {
        const from = (x + rows[i] * ldx) / 4;
        f32.copyWithin((scratch.logitInput + i * ldx) / 4, from, from + ldx / 4);
      }
      if (rows.length === 1) {
        single();
      } else {
        kernel.rows(scratch.logitInput, ldx, rows.length, target, false, context);
      }
    },
  };
}
