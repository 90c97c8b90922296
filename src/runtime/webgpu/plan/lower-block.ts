/** Lowers prefill's products: tiled, with what is folded into a decode's products as dispatches of its own. */
import { gateKernel, gateWorkgroups } from "../../../kernels/gate/gate.gpu.ts";
import {
  packedMatrixWords,
  packKernel,
  packWeightKernel,
  packWeightParams,
  packWeightWorkgroups,
} from "../../../kernels/linear/gemm-pack.gpu.ts";
import { selectGemm, type GemmPlan } from "../../../kernels/linear/gemm-select.gpu.ts";
import { gemmParams, gemmWorkgroups, inQuads } from "../../../kernels/linear/gemm.gpu.ts";
import { ropeAppendKernel, ropeAppendWorkgroups } from "../../../kernels/rope/rope-append.gpu.ts";
import type { Name } from "../../program.ts";
import { uniformHeads } from "../../state.ts";
import type { Dispatch } from "./dispatch.ts";
import { columnsOf, ropeBuffers, rotaryOf, stackedWeights, traced, type Lowering } from "./lowering.ts";
import type { Weight } from "./layout.ts";
import type { ProductStage, Stage } from "./stage.ts";

/** Lowers output = input · weightᵀ to a dispatch or more for each shard of each of the stage's stacks of weights. */
export function lowerProduct(
  stage: ProductStage & { output: Name },
  outputColumns: number,
  lowering: Lowering,
): Dispatch[] {
  const stacks = stackedWeights(stage, lowering.layout);
  const products = stacks.map((stack) => lowerStack(stage, stack, outputColumns, lowering));
  const { columns } = stacks[0].weight;
  const terms = products.find((product) => product.terms !== undefined)?.terms;
  if (terms === undefined) {
    return products.flatMap(({ dispatches }) => dispatches);
  }
  const pack: Dispatch = {
    spec: packKernel(columns, terms),
    buffers: [stage.input, "packed"],
    workgroups: ({ rows }) => [rows, 1, 1],
    bytes: ({ rows }) => rows * columns * (4 + 2 * terms),
  };
  return [pack, ...products.flatMap(({ dispatches }) => dispatches)];
}

/** A stack of a stage's weights, and the row of all of its weights at which it begins. */
type Stack = ReturnType<typeof stackedWeights>[number];

function lowerStack(
  stage: ProductStage & { output: Name },
  stack: Stack,
  outputColumns: number,
  lowering: Lowering,
): Pick<GemmPlan, "terms"> & { dispatches: Dispatch[] } {
  const { layout, limits } = lowering;
  const { weight } = stack;
  const mostPerDimension = limits.maxComputeWorkgroupsPerDimension;
  const { kernels, terms, isWeightPacked } = planStack(stage, stack, outputColumns, lowering);
  const bias = stage.biases.some((name) => name !== undefined) ? layout.vectorOffset(stage.biases) : 0;
  const dispatches = shardsOf(stack).flatMap(({ buffer, first, count }): Dispatch[] => {
    const packWeight: Dispatch = {
      spec: packWeightKernel(weight),
      buffers: [buffer, "packed weight"],
      params: packWeightParams(count),
      workgroups: () => [...packWeightWorkgroups(count, mostPerDimension), 1],
      bytes: () => count * (weight.stride + weight.columns * 2),
    };
    const products = kernels.map(({ spec, tile, mostRows }, i): Dispatch => ({
      spec,
      buffers: [
        terms === undefined ? stage.input : "packed",
        "vectors",
        isWeightPacked ? "packed weight" : buffer,
        stage.output,
        "rows",
      ],
      params: gemmParams({ bias, first, count }),
      workgroups: ({ rows }) => {
        if (rows > mostRows || rows <= (kernels[i - 1]?.mostRows ?? 0)) {
          return [0, 0, 0];
        }
        return [...gemmWorkgroups(rows, count, tile, mostPerDimension), 1];
      },
      bytes: ({ rows }) =>
        count * (isWeightPacked ? weight.columns * 2 : weight.stride) + rows * (weight.columns + count) * 4,
    }));
    return [...(isWeightPacked ? [packWeight] : []), ...products];
  });
  return { terms, dispatches };
}

/** The shards of a stack, their first rows counted from the beginning of all of the stage's weights. */
function shardsOf({ weight, begin }: Stack): Weight["shards"] {
  return weight.shards.map((shard) => ({ ...shard, first: begin + shard.first }));
}

function planStack(
  stage: ProductStage,
  stack: Stack,
  outputColumns: number,
  { maxRows, limits, features, variants, adapterName, prefill }: StackLowering,
): GemmPlan {
  const { weight } = stack;
  const shards = shardsOf(stack);
  return selectGemm(
    { name: adapterName, ...features, ...limits },
    {
      format: weight.format,
      columns: weight.columns,
      outputColumns,
      bias: stage.biases.some((bias) => bias !== undefined),
      accumulate: stage.kind === "linear" && stage.accumulate,
      activation: stage.kind === "linear" ? stage.activation : undefined,
      quads: inQuads(outputColumns, shards),
      maxRows,
    },
    prefill,
    { rows: maxRows, count: Math.max(...shards.map(({ count }) => count)) },
    variants.gemm,
  );
}

type StackLowering = Pick<
  Lowering,
  "maxRows" | "limits" | "features" | "variants" | "adapterName" | "prefill"
>;

export function lowerLinearBlock(
  stage: Extract<ProductStage, { kind: "linear" }>,
  lowering: Lowering,
): Dispatch[] {
  return traced(lowerProduct(stage, columnsOf(stage.output, lowering.program), lowering), stage, lowering);
}

export function lowerQkvBlock(stage: Extract<ProductStage, { kind: "qkv" }>, lowering: Lowering): Dispatch[] {
  const { program, maxRows, contextLength, cache } = lowering;
  const { kvHeads, headDim } = uniformHeads(program);
  const heads = columnsOf(stage.output, program) / headDim;
  const columns = (heads + 2 * kvHeads) * headDim;
  const rotary = stage.table === undefined ? 0 : rotaryOf(program, stage.table);
  const shape = { heads, kvHeads, headDim, context: contextLength, rotary, cache, maxRows };
  return [
    ...lowerProduct({ ...stage, output: "wide" }, columns, lowering),
    {
      spec: ropeAppendKernel(shape),
      buffers: [
        "wide",
        stage.output,
        `keys ${stage.layer}`,
        `values ${stage.layer}`,
        "rows",
        ...ropeBuffers(stage),
      ],
      workgroups: ({ rows }) => [...ropeAppendWorkgroups(shape, rows), 1],
      bytes: ({ rows }) => rows * columns * 8,
    },
  ];
}

export function lowerGluBlock(stage: Extract<ProductStage, { kind: "glu" }>, lowering: Lowering): Dispatch[] {
  const columns = columnsOf(stage.output, lowering.program);
  const gate: Dispatch = {
    spec: gateKernel(columns, stage.activation, "stacked"),
    buffers: ["wide", stage.output],
    workgroups: ({ rows }) => gateWorkgroups(columns, rows),
    bytes: ({ rows }) => rows * columns * 12,
  };
  return traced(
    [...lowerProduct({ ...stage, output: "wide" }, 2 * columns, lowering), gate],
    stage,
    lowering,
  );
}

/** Words of the buffers "packed" and "packed weight": for the largest input and the largest shard that are packed. */
export function packedBufferWords(
  stages: readonly Stage[],
  lowering: StackLowering & Pick<Lowering, "layout">,
): { packed: number; packedWeight: number } {
  const words = { packed: 1, packedWeight: 1 };
  for (const stage of stages) {
    if (!("weights" in stage) || stage.kind === "logits") {
      continue;
    }
    for (const stack of stackedWeights(stage, lowering.layout)) {
      const { columns, rows } = stack.weight;
      const { terms, isWeightPacked } = planStack(stage, stack, rows, lowering);
      if (terms !== undefined) {
        words.packed = Math.max(words.packed, packedMatrixWords(lowering.maxRows, columns, terms));
      }
      if (isWeightPacked) {
        const most = Math.max(...shardsOf(stack).map(({ count }) => count));
        words.packedWeight = Math.max(words.packedWeight, packedMatrixWords(most, columns));
      }
    }
  }
  return words;
}
