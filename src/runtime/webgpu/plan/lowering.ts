/** What every lowering of a stage to dispatches has in common. */
import type { CacheFormat } from "../../../kernels/append/append.gpu.ts";
import type { PrefillMode } from "../../device-types.ts";
import type { Name, Program } from "../../program.ts";
import type { Dispatch } from "./dispatch.ts";
import type { GpuFeatures, GpuLimits } from "./gpu.ts";
import { weightKey, type Weight, type WeightLayout } from "./layout.ts";
import type { Variants } from "./select.ts";
import { stacksOf, type ProductStage } from "./stage.ts";

/** What the stages of a program are lowered for. */
export interface Lowering {
  program: Program;
  layout: WeightLayout;
  /** Number of positions of a KV slot. */
  contextLength: number;
  /** How the KV cache holds its numbers. */
  cache: CacheFormat;
  /** The most rows of a pass. */
  maxRows: number;
  prefill: PrefillMode | "f16-emulated" | "split-emulated";
  variants: Variants;
  features: GpuFeatures;
  limits: GpuLimits;
  /** Name of the adapter, for errors. */
  adapterName: string;
}

/** Number of elements of a head that a rotation by this table turns. */
export function rotaryOf({ ropes }: Program, table: number): number {
  return 2 * ropes[table].inverseFrequencies.length;
}

/** The buffer of the table by which a stage rotates, if it does. */
export function ropeBuffers({ table }: { table?: number }): Name[] {
  return table === undefined ? [] : [ropeBuffer(table)];
}

/** Name of the buffer of a table of the program. */
export function ropeBuffer(table: number): Name {
  return `rope ${table}`;
}

/** The weight that these matrices, one below the other, were laid out as. */
export function weightOf({ weights }: { weights: readonly Name[] }, layout: WeightLayout): Weight {
  const key = weightKey(weights);
  const weight = layout.weights.get(key);
  if (weight === undefined) {
    throw new Error(`The weight "${key}" was not laid out.`);
  }
  return weight;
}

/** The weights of a stage's stacks, and the row of all of its weights at which each begins. */
export function stackedWeights(
  stage: ProductStage,
  layout: WeightLayout,
): { weight: Weight; begin: number }[] {
  let begin = 0;
  return stacksOf(stage).map((weights) => {
    const stack = { weight: weightOf({ weights }, layout), begin };
    begin += stack.weight.rows;
    return stack;
  });
}

export function columnsOf(buffer: Name, program: Program): number {
  const columns = program.buffers.get(buffer);
  if (columns === undefined) {
    throw new Error(`The program declares no buffer "${buffer}".`);
  }
  return columns;
}

/**
 * The dispatches of a stage, whose output is complete after the last of them: that one gets the trace, if there is one.
 */
export function traced(
  dispatches: Dispatch[],
  { trace, output }: { trace?: string; output: Name },
  { program }: Lowering,
): Dispatch[] {
  if (trace === undefined) {
    return dispatches;
  }
  const columns = columnsOf(output, program);
  return dispatches.map((dispatch, i) =>
    i === dispatches.length - 1 ? { ...dispatch, trace: { name: trace, buffer: output, columns } } : dispatch,
  );
}
