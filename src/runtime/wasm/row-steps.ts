/** Ops that every worker computes for whole rows, as kernel calls in its own memory. */
import type { NormOp, Program, RopeOp, RopeTable, RouteOp } from "../program.ts";
import { uniformHeads } from "../state.ts";
import { appendStep } from "./attention-steps.ts";
import type { RowOp } from "./instruction.ts";
import { kernelStep, otherStep, type Step, type Worker } from "./pass.ts";

export function rowsStep(worker: Worker, program: Program, op: RowOp, bank: number): Step {
  switch (op.role) {
    case "norm":
      return normStep(worker, op, bank);
    case "route":
      return routeStep(worker, program, op, bank);
    case "rope":
      return ropeStep(worker, program, op, bank);
    case "append":
      return appendStep(worker, op, uniformHeads(program), bank);
  }
}

function normStep({ plan, banks }: Worker, op: NormOp, bank: number): Step {
  const { kernels } = banks[bank];
  const { buffers } = plan.banks[bank];
  const [x, y] = [buffers[op.input], buffers[op.output]];
  const { length: columns, offset: weight } = plan.vectors[op.weight];
  const stride = plan.strides[op.input];
  const { heads = 1 } = op;
  if (op.kind === "rms" && heads > 1) {
    // The heads of a row lie one behind the other, as rows of the kernel.
    return kernelStep(({ rows }) => {
      for (let r = 0; r < rows; r++) {
        const from = r * stride;
        kernels.rms_norm(x + from, weight, y + from, heads, columns, columns * 4, op.epsilon);
      }
    });
  }
  if (op.kind === "rms") {
    return kernelStep(({ rows }) => {
      kernels.rms_norm(x, weight, y, rows, columns, stride, op.epsilon);
    });
  }
  const bias = op.bias === undefined ? 0 : plan.vectors[op.bias].offset;
  return kernelStep(({ rows }) => {
    kernels.layer_norm(x, weight, bias, y, rows, columns, stride, op.epsilon);
  });
}

function routeStep({ plan, banks }: Worker, { buffers }: Program, op: RouteOp, bank: number): Step {
  const { kernels } = banks[bank];
  const { buffers: addresses } = plan.banks[bank];
  const [x, y] = [addresses[op.input], addresses[op.output]];
  const [stride, outStride] = [plan.strides[op.input], plan.strides[op.output]];
  const experts = buffers.get(op.input) ?? 0;
  const chosen = (buffers.get(op.output) ?? 0) / 2;
  const normalize = op.normalize ? 1 : 0;
  return kernelStep(({ rows }) => {
    kernels.route(x, stride, y, outStride, rows, experts, chosen, normalize);
  });
}

function ropeStep({ plan, banks }: Worker, program: Program, op: RopeOp, bank: number): Step {
  const { kernels } = banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const x = buffers[op.buffer];
  const stride = plan.strides[op.buffer];
  const { table = 0 } = op;
  const rotary = 2 * program.ropes[table].inverseFrequencies.length;
  return kernelStep(({ rows }) => {
    kernels.rope(x, stride, scratch.ropes[table], rows, op.heads, op.headDim, rotary);
  });
}

/**
 * Computes cos and sin of every row's position, [rows][cos[n], sin[n]] f32 in each bank, of one table: once a pass for all
 * layers.
 *
 * @param index the table's among the Program's
 */
export function rotationsStep(worker: Worker, rope: RopeTable, index: number): Step {
  const half = rope.inverseFrequencies.length;
  const { inverseFrequencies, scaling } = rope;
  const tables = worker.banks.map(({ f32 }, bank) => ({
    f32,
    from: worker.plan.banks[bank].scratch.ropes[index] / 4,
  }));
  return otherStep(({ rows, positions }) => {
    const [first, ...rest] = tables;
    let word = first.from;
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < half; i++) {
        // The angle is rounded to f32 as in transformers: at far positions that is what models were trained with.
        const angle = Math.fround(positions[r] * inverseFrequencies[i]);
        first.f32[word + i] = Math.cos(angle) * scaling;
        first.f32[word + half + i] = Math.sin(angle) * scaling;
      }
      word += 2 * half;
    }
    const table = first.f32.subarray(first.from, word);
    for (const { f32, from } of rest) {
      f32.set(table, from);
    }
  });
}
