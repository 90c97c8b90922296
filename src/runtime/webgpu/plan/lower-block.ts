/** Lowers prefill's products: tiled, with what is folded into a decode's products as dispatches of its own. */
import { gateKernel, gateWorkgroups } from "../../../kernels/gate/gate.gpu.ts";
import { packKernel, packedWords } from "../../../kernels/linear/gemm-pack.gpu.ts";
import { selectGemm } from "../../../kernels/linear/gemm-select.gpu.ts";
import { gemmParams, gemmWorkgroups, inQuads } from "../../../kernels/linear/gemm.gpu.ts";
import { ropeAppendKernel, ropeAppendWorkgroups } from "../../../kernels/rope/rope-append.gpu.ts";
import type { Name } from "../../program.ts";
import { uniformHeads } from "../../state.ts";
import type { Dispatch } from "./dispatch.ts";
import { columnsOf, ropeBuffers, rotaryOf, stackedWeights, traced, type Lowering } from "./lowering.ts";
import type { Weight } from "./layout.ts";
import type { ProductStage } from "./stage.ts";

/** Lowers output = input · weightᵀ to a dispatch for each shard of each of the stage's stacks of weights. */
export function lowerProduct(
  stage: ProductStage & { output: Name },
  outputColumns: number,
  lowering: Lowering,
): Dispatch[] {
  const stacks = stackedWeights(stage, lowering.layout);
  const products = stacks.map((stack) => lowerStack(stage, stack, outputColumns, lowering));
  const { columns } = stacks[0].weight;
  const pack: Dispatch = {
    spec: packKernel(columns),
    buffers: [stage.input, "packed"],
    workgroups: ({ rows }) => [rows, 1, 1],
    bytes: ({ rows }) => rows * columns * 6,
  };
  const isPacked = products.some((product) => product.isPacked);
  return [...(isPacked ? [pack] : []), ...products.flatMap(({ dispatches }) => dispatches)];
}

function lowerStack(
  stage: ProductStage & { output: Name },
  { weight, begin }: { weight: Weight; begin: number },
  outputColumns: number,
  lowering: Lowering,
): { isPacked: boolean; dispatches: Dispatch[] } {
  const { layout, maxRows, limits, features, variants, adapterName } = lowering;
  const hasBias = stage.biases.some((bias) => bias !== undefined);
  const shards = weight.shards.map((shard) => ({ ...shard, first: begin + shard.first }));
  const { spec, tile, isPacked } = selectGemm(
    { name: adapterName, ...features, ...limits },
    {
      format: weight.format,
      columns: weight.columns,
      outputColumns,
      bias: hasBias,
      accumulate: stage.kind === "linear" && stage.accumulate,
      activation: stage.kind === "linear" ? stage.activation : undefined,
      quads: inQuads(outputColumns, shards),
      maxRows,
    },
    lowering.prefill,
    { rows: maxRows, count: Math.max(...shards.map(({ count }) => count)) },
    variants.gemm,
  );
  const dispatches = shards.map(({ buffer, first, count }): Dispatch => ({
    spec,
    buffers: [isPacked ? "packed" : stage.input, "vectors", buffer, stage.output, "rows"],
    params: gemmParams({ bias: hasBias ? layout.vectorOffset(stage.biases) : 0, first, count }),
    workgroups: ({ rows }) => {
      const [x, y] = gemmWorkgroups(rows, count, tile, limits.maxComputeWorkgroupsPerDimension);
      return [x, y, 1];
    },
    bytes: ({ rows }) => count * weight.stride + rows * (weight.columns + count) * 4,
  }));
  return { isPacked, dispatches };
}

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

/** Words of the buffer "packed": the widest input of a product, where products are not exact. */
export function packedBufferWords(lowering: Pick<Lowering, "layout" | "maxRows" | "prefill">): number {
  if (lowering.prefill === "exact") {
    return 1;
  }
  const widest = Math.max(
    0,
    ...[...lowering.layout.weights.values()].map(({ columns }) => packedWords(columns)),
  );
  return lowering.maxRows * widest;
}
