/**
 * Products of the experts that rows have chosen. One row's are computed one after another, by whoever has a task of them; of
 * many rows those that have chosen one expert are gathered, expert by expert in ascending order, so that its weights are read once.
 * A row's sum is thus added up in the order of its experts in either case, whatever rows are beside it.
 */
import { PANEL } from "../../kernels/format.ts";
import type { Kernels } from "../../kernels/wasm-module.ts";
import type { ExpertsOp } from "../program.ts";
import {
  multiplyRow,
  multiplyRows,
  ownersOf,
  packRows,
  preparationOf,
  rowPreparation,
} from "./linear-steps.ts";
import { kernelStep, type PassContext, type Step, type TaskCall, type Worker } from "./pass.ts";
import { columnRange, roundUp, type MatrixPlacement } from "./plan.ts";

/** Where an op's numbers lie in every worker's bank, in bytes. */
interface Places {
  matrices: readonly MatrixPlacement[];
  /** Addresses of the experts' biases; absent: there are none. */
  biases?: readonly number[];
  /** How many experts a row has chosen. */
  chosen: number;
  /** Whether a row's products are added up. */
  isSum: boolean;
  input: number;
  inputRow: number;
  inputLine: number;
  output: number;
  outputRow: number;
  outputLine: number;
  /** The routes of the first row and the stride of rows, in f32. */
  routes: number;
  routesRow: number;
}

function placesOf(
  { plan }: Worker,
  { kind, input, routes, weights, biases, output }: ExpertsOp,
  bank: number,
): Places {
  const { buffers } = plan.banks[bank];
  const { strides } = plan;
  const isSum = kind === "sum";
  const matrices = weights.map((name) => plan.matrices[name]);
  const { rows, columns } = matrices[0];
  const [inputLine, outputLine] = [roundUp(columns, PANEL) * 4, roundUp(rows, PANEL) * 4];
  return {
    matrices,
    biases: biases?.map((name) => plan.vectors[name].offset),
    chosen: isSum ? strides[input] / inputLine : strides[output] / outputLine,
    isSum,
    input: buffers[input],
    inputRow: strides[input],
    inputLine: isSum ? inputLine : 0,
    output: buffers[output],
    outputRow: strides[output],
    outputLine: isSum ? 0 : outputLine,
    routes: buffers[routes] / 4,
    routesRow: strides[routes] / 4,
  };
}

/**
 * What must be made of one row's input in an owner's memory, once before `expertsCall`; undefined where nothing must be.
 * Whoever makes it takes the routes from its own memory, where they have been written before.
 */
export function expertsPreparation(
  worker: Worker,
  op: ExpertsOp,
  bank: number,
): ((kernels: Kernels) => void) | undefined {
  const places = placesOf(worker, op, bank);
  const { input, inputLine, chosen, routes } = places;
  if (!places.isSum) {
    return rowPreparation(worker, op.weights[0], input);
  }
  const { columns } = places.matrices[0];
  const { scaled, weighted } = worker.plan.banks[bank].scratch;
  const { inputStride } = worker.plan;
  const { f32 } = worker.banks[bank];
  const isQuantized = preparationOf(worker, op.weights[0]) === "int8";
  return (kernels) => {
    for (let i = 0; i < chosen; i++) {
      const line = weighted + i * inputStride;
      kernels.weigh(input + i * inputLine, line, roundUp(columns, PANEL), f32[routes + chosen + i]);
      if (isQuantized) {
        kernels.quantize_rows(line, 0, 1, columns, scaled + i * inputStride);
      }
    }
  };
}

/** One row's products on any owner's panels, for whoever computes them. What `expertsPreparation` makes was made before. */
export function expertsCall(worker: Worker, op: ExpertsOp, bank: number): TaskCall {
  const { matrices, biases, chosen, isSum, input, output, outputLine, routes } = placesOf(worker, op, bank);
  const { scaled, weighted } = worker.plan.banks[bank].scratch;
  const { inputStride } = worker.plan;
  const { f32 } = worker.banks[bank];
  const owners = ownersOf(matrices[0].rows, worker.threads);
  return (kernels, owner, first, count) => {
    const { panels, from } = owners[owner];
    const [part, width] = [first * PANEL * 4, count * PANEL];
    for (let i = 0; i < chosen; i++) {
      const expert = f32[routes + i];
      const matrix = matrices[expert];
      const bias = biases === undefined ? 0 : biases[expert] + from + part;
      const y = output + i * outputLine + from;
      if (isSum) {
        const [x, line] = [weighted + i * inputStride, scaled + i * inputStride];
        const isAdded = op.accumulate || i > 0;
        if (bias !== 0) {
          const weight = f32[routes + chosen + i];
          if (isAdded) {
            kernels.add_weighted(bias, y + part, width, weight);
          } else {
            kernels.weigh(bias, y + part, width, weight);
          }
        }
        const add = isAdded || bias !== 0 ? 1 : 0;
        multiplyRow(worker, kernels, matrix, { panels, first, count }, { x, scaled: line, y }, add);
      } else {
        if (bias !== 0) {
          kernels.broadcast(bias, y + part, 1, width, 0, 0);
        }
        const add = bias === 0 ? 0 : 1;
        multiplyRow(worker, kernels, matrix, { panels, first, count }, { x: input, scaled, y }, add);
      }
    }
  };
}

/** All columns of this worker, for any number of rows. */
export function expertsStep(worker: Worker, op: ExpertsOp, bank: number): Step {
  const { kernels } = worker.banks[bank];
  const prepare = expertsPreparation(worker, op, bank);
  const call = expertsCall(worker, op, bank);
  const { panels } = ownersOf(placesOf(worker, op, bank).matrices[0].rows, worker.threads)[worker.index];
  const rowsOfExperts = gatheredProducts(worker, op, bank);
  return kernelStep((context) => {
    if (context.rows === 1) {
      prepare?.(kernels);
      call(kernels, worker.index, 0, panels);
    } else {
      rowsOfExperts(context);
    }
  });
}

/** The products of many rows, expert by expert. */
function gatheredProducts(worker: Worker, op: ExpertsOp, bank: number): (context: PassContext) => void {
  const places = placesOf(worker, op, bank);
  const { matrices, biases, chosen, isSum, routes, routesRow } = places;
  const { plan, control } = worker;
  const { scaled, gathered, products } = plan.banks[bank].scratch;
  const { inputStride, productStride } = plan;
  const { kernels, f32 } = worker.banks[bank];
  const [{ rows: columnsOut, columns }] = matrices;
  const own = columnRange(columnsOut, worker.index, worker.threads);
  const { panels } = ownersOf(columnsOut, worker.threads)[worker.index];
  const width = panels * PANEL;
  const isQuantized = preparationOf(worker, op.weights[0]) === "int8";
  /** Lines of all rows, in the order of their experts; those of expert e are from `begins[e]` on. */
  const order = new Int32Array(plan.maxRows * chosen);
  const begins = new Int32Array(matrices.length + 1);

  const inputOf = (line: number): number =>
    places.input + Math.floor(line / chosen) * places.inputRow + (line % chosen) * places.inputLine;
  /** Address of this worker's columns. */
  const outputOf = (line: number): number =>
    places.output +
    Math.floor(line / chosen) * places.outputRow +
    (line % chosen) * places.outputLine +
    own.start * 4;
  const copy = (from: number, to: number, count: number): void => {
    f32.copyWithin(to / 4, from / 4, from / 4 + count);
  };
  const gather = (line: number, to: number): void => {
    if (isSum) {
      kernels.weigh(inputOf(line), to, roundUp(columns, PANEL), weightOf(line));
    } else {
      copy(inputOf(line), to, roundUp(columns, PANEL));
    }
  };
  const sort = (rows: number): void => {
    begins.fill(0);
    for (let line = 0; line < rows * chosen; line++) {
      begins[expertOf(line) + 1]++;
    }
    for (let e = 0; e < matrices.length; e++) {
      begins[e + 1] += begins[e];
    }
    const next = begins.slice();
    for (let line = 0; line < rows * chosen; line++) {
      order[next[expertOf(line)]++] = line;
    }
  };
  const expertOf = (line: number): number =>
    f32[routes + Math.floor(line / chosen) * routesRow + (line % chosen)];
  const weightOf = (line: number): number =>
    f32[routes + Math.floor(line / chosen) * routesRow + chosen + (line % chosen)];
  const add = isSum || biases !== undefined ? 1 : 0;

  return (context) => {
    const { rows } = context;
    sort(rows);
    if (isSum && !op.accumulate) {
      for (let r = 0; r < rows; r++) {
        const from = outputOf(r * chosen) / 4;
        f32.fill(0, from, from + width);
      }
    }
    for (const [e, matrix] of matrices.entries()) {
      const lines = order.subarray(begins[e], begins[e + 1]);
      if (lines.length === 0) {
        continue;
      }
      for (const [m, line] of lines.entries()) {
        gather(line, gathered + m * inputStride);
      }
      if (biases !== undefined) {
        // Before the product, as for one row: sums have the same bits.
        const bias = biases[e] + own.start * 4;
        for (const line of lines) {
          if (isSum) {
            kernels.add_weighted(bias, outputOf(line), width, weightOf(line));
          } else {
            kernels.broadcast(bias, outputOf(line), 1, width, 0, 0);
          }
        }
      }
      if (lines.length === 1) {
        const y = outputOf(lines[0]);
        if (isQuantized) {
          kernels.quantize_rows(gathered, 0, 1, columns, scaled);
        }
        multiplyRow(
          worker,
          kernels,
          matrix,
          { panels, first: 0, count: panels },
          { x: gathered, scaled, y },
          add,
        );
      } else {
        packRows(worker, matrix, gathered, inputStride, lines.length);
        if (add === 1) {
          for (const [m, line] of lines.entries()) {
            copy(outputOf(line), products + m * productStride, width);
          }
        }
        const target = { y: products, ldy: productStride };
        multiplyRows(worker, matrix, { rows: lines.length, panels, add }, target, context);
        for (const [m, line] of lines.entries()) {
          copy(products + m * productStride, outputOf(line), width);
        }
      }
      if (control.isCancelRequested(context.command)) {
        return;
      }
    }
  };
}
