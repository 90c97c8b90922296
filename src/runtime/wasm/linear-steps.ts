/** Linear layers: one row (GEMV), many rows (blocked GEMM), and the logits of chosen rows. */
import type { LinearOp, LogitsOp } from "../program.ts";
import { FORMATS, isQuantized, PANEL } from "../../kernels/format.ts";
import type { Kernels } from "../../kernels/wasm-module.ts";
import { columnRange, LOGIT_ROWS, panelRange, panelScratch, type MatrixPlacement } from "./plan.ts";
import { kernelStep, type PassContext, type Step, type TaskCall, type Worker } from "./pass.ts";

/** Work between two looks at the cancel flag, in multiply-adds: some 10 ms. */
const SLICE_OPERATIONS = 2 ** 28;

interface Target {
  /** Address of this worker's first column; rows are `ldy` bytes apart. */
  y: number;
  ldy: number;
}

/** The weights of an op, and what bounds its results. */
type Weighted = Pick<LogitsOp, "weight" | "bias" | "softCap">;

/** What a product makes of its input before it multiplies; two products of one input and preparation share it. */
export type Preparation = "f32" | "f16" | "int8";

/** What a product with this matrix makes of its input. */
export function preparationOf({ plan, integerDot }: Worker, weight: string): Preparation {
  const { format } = plan.matrices[weight];
  if (isQuantized(format) && integerDot !== undefined) {
    return "int8";
  }
  return format === "f16" ? "f16" : "f32";
}

/**
 * Quantises the row at `x` for products of one row with this matrix, in an owner's memory; undefined where they multiply
 * it as it is, or prepare it themselves.
 */
export function rowPreparation(
  worker: Worker,
  weight: string,
  x: number,
): ((kernels: Kernels) => void) | undefined {
  if (preparationOf(worker, weight) !== "int8") {
    return undefined;
  }
  const { columns, bank } = worker.plan.matrices[weight];
  const { scaled } = worker.plan.banks[bank].scratch;
  return (kernels) => {
    kernels.quantize_rows(x, 0, 1, columns, scaled);
  };
}

/** Which panels of a matrix a product of one row computes: [first, first + count) of the `panels` that an owner has. */
interface OwnedPanels {
  panels: number;
  first: number;
  count: number;
}

/** Addresses in an owner's memory: of the row, of what was or is made of it first, and of its product's owned columns. */
interface RowPlaces {
  x: number;
  scaled: number;
  y: number;
}

/** One row of x * weight^T, or y + that, by whoever computes it. What `rowPreparation` does was done before. */
export function multiplyRow(
  worker: Worker,
  kernels: Kernels,
  { columns, format, offset, bank }: MatrixPlacement,
  { panels, first, count }: OwnedPanels,
  { x, scaled, y }: RowPlaces,
  add: 0 | 1,
): void {
  const { plan, integerDot } = worker;
  switch (format) {
    case "bf16":
      kernels.gemv_bf16(x, offset, panels, first, count, y, columns, add);
      break;
    case "f16":
      // A worker that helps writes the same numbers to the same place.
      kernels.scale_f16(x, scaled, Math.ceil(columns / 4) * 4);
      kernels.gemv_f16(scaled, offset, panels, first, count, y, columns, add);
      break;
    case "f32":
      kernels.gemv_f32(x, offset, panels, first, count, y, columns, add);
      break;
    case "i8-row":
      kernels.gemv_i8_row(x, offset, panels, first, count, y, columns, add);
      break;
    case "int8":
    case "int4": {
      const scratch = panelScratch(plan.banks[bank], worker.index);
      const { code } = FORMATS[format];
      if (integerDot === undefined) {
        // One row is packed as it lies.
        kernels.gemm(x, 1, offset, panels, first, count, y, 0, columns, add, scratch, code);
      } else {
        kernels.gemv_quantized(
          scaled,
          offset,
          panels,
          first,
          count,
          y,
          columns,
          add,
          scratch,
          code,
          integerDot,
        );
      }
      break;
    }
  }
}

/** The panels of a matrix with `rows` rows that each worker owns, and the byte of a row at which their columns begin. */
export function ownersOf(rows: number, threads: number): { panels: number; from: number }[] {
  return Array.from({ length: threads }, (_, owner) => {
    const { start, end } = panelRange(rows, owner, threads);
    return { panels: end - start, from: start * PANEL * 4 };
  });
}

/**
 * One row of x * weight^T (+ bias) on any owner's panels, for whoever computes them. `x` and `y` (the output's column 0)
 * are addresses, the same in every owner's bank. What `rowPreparation` does was done before.
 */
export function rowProduct(
  worker: Worker,
  { weight, bias, softCap }: Weighted,
  x: number,
  y: number,
  accumulate: boolean,
): TaskCall {
  const { plan } = worker;
  const matrix = plan.matrices[weight];
  const { scaled } = plan.banks[matrix.bank].scratch;
  const biasAddress = bias === undefined ? undefined : plan.vectors[bias].offset;
  const add = accumulate || bias !== undefined ? 1 : 0;
  const owners = ownersOf(matrix.rows, plan.threads);
  return (kernels, owner, first, count) => {
    const { panels, from } = owners[owner];
    const part = from + first * PANEL * 4;
    if (biasAddress !== undefined) {
      kernels.broadcast(biasAddress + part, y + part, 1, count * PANEL, 0, accumulate ? 1 : 0);
    }
    multiplyRow(worker, kernels, matrix, { panels, first, count }, { x, scaled, y: y + from }, add);
    if (softCap !== undefined) {
      kernels.soft_cap(y + part, 1, count * PANEL, 0, softCap);
    }
  };
}

/** Makes of rows at `x`, `ldx` bytes apart, what `multiplyRows` by this matrix multiplies. */
export function packRows(
  worker: Worker,
  matrix: MatrixPlacement,
  x: number,
  ldx: number,
  rows: number,
): void {
  const { columns, bank, format } = matrix;
  const { kernels } = worker.banks[bank];
  const { packed } = worker.plan.banks[bank].scratch;
  if (isQuantized(format) && worker.integerDot !== undefined) {
    kernels.quantize_rows(x, ldx, rows, columns, packed);
  } else {
    kernels.pack_rows(x, ldx, rows, columns, packed);
  }
}

/**
 * The packed rows * weight^T, or `target` + that, by `panels` panels of this worker: in slices, until the pass is cancelled.
 *
 * @param finish what becomes of columns of all rows that are done, where something does
 */
export function multiplyRows(
  worker: Worker,
  { columns, format, offset, bank }: MatrixPlacement,
  { rows, panels, add }: { rows: number; panels: number; add: 0 | 1 },
  { y, ldy }: Target,
  context: PassContext,
  finish?: (first: number, count: number) => void,
): void {
  const { control, plan } = worker;
  const { kernels } = worker.banks[bank];
  const { packed } = plan.banks[bank].scratch;
  const scratch = panelScratch(plan.banks[bank], worker.index);
  const { code } = FORMATS[format];
  const dot = isQuantized(format) ? worker.integerDot : undefined;
  const slice = Math.max(1, Math.floor(SLICE_OPERATIONS / (rows * columns * PANEL)));
  for (let first = 0; first < panels; first += slice) {
    const count = Math.min(slice, panels - first);
    if (dot === undefined) {
      kernels.gemm(packed, rows, offset, panels, first, count, y, ldy, columns, add, scratch, code);
    } else {
      kernels.gemm_quantized(
        packed,
        rows,
        offset,
        panels,
        first,
        count,
        y,
        ldy,
        columns,
        add,
        scratch,
        code,
        dot,
      );
    }
    finish?.(first, count);
    // After a cancel the rest is skipped: everyone leaves at the next barrier, where the same flag is read.
    if (control.isCancelRequested(context.command)) {
      return;
    }
  }
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

  /** The product for one row, to be called again and again. `isPacked`: see linearStep. */
  row(x: number, { y }: Target, accumulate: boolean, isPacked = false): () => void {
    const { index, banks } = this.#worker;
    const { kernels } = banks[this.#bank];
    const panels = this.#panels;
    const columnZero = y - this.columns.start * 4;
    const product = rowProduct(this.#worker, this.#op, x, columnZero, accumulate);
    const prepare = isPacked ? undefined : rowPreparation(this.#worker, this.#op.weight, x);
    return () => {
      prepare?.(kernels);
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
    if (this.#worker.control.isCancelRequested(context.command)) {
      return;
    }
    const { kernels } = this.#worker.banks[this.#bank];
    const matrix = this.#worker.plan.matrices[this.#op.weight];
    const bias = this.#bias;
    const { softCap } = this.#op;
    if (!isPacked) {
      packRows(this.#worker, matrix, x, ldx, rows);
    }
    const panels = this.#panels;
    const { y, ldy } = target;
    if (bias !== undefined) {
      kernels.broadcast(bias, y, rows, panels * PANEL, ldy, accumulate ? 1 : 0);
    }
    const add = accumulate || bias !== undefined ? 1 : 0;
    const cap =
      softCap === undefined
        ? undefined
        : (first: number, count: number): void => {
            kernels.soft_cap(y + first * PANEL * 4, rows, count * PANEL, ldy, softCap);
          };
    multiplyRows(this.#worker, matrix, { rows, panels, add }, target, context, cap);
  }
}

/** @param isPacked whether the step before was a linear layer of the same input and preparation, and has packed its rows */
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
  const single = kernel.row(x, target, op.accumulate, isPacked);
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
