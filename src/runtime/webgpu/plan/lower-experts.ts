/**
 * Lowers mixtures of experts. Of few rows a workgroup looks up which expert's weights it reads; of blocks the lines of each expert
 * are gathered first, and what is to be summed has a buffer of its own until it is.
 */
import { elementwiseWorkgroups } from "../../../kernels/common/elementwise.gpu.ts";
import {
  combineKernel,
  EXPERT_TILE,
  expertsKernel,
  expertsParams,
  expertsWorkgroups,
  groupKernel,
  mostTiles,
  tileWords,
  type ExpertsKind,
  type ExpertsVariant,
} from "../../../kernels/experts/experts.gpu.ts";
import { routeKernel } from "../../../kernels/route/route.gpu.ts";
import { isQuantized } from "../../../kernels/format.ts";
import { fitWorkgroup } from "../../../kernels/linear/gemv.gpu.ts";
import { chosenExperts, type ExpertsOp, type Name, type RouteOp } from "../../program.ts";
import type { Dispatch, FormName } from "./dispatch.ts";
import { columnsOf, traced, weightOf, type Lowering } from "./lowering.ts";
import type { Weight } from "./layout.ts";
import type { Stage } from "./stage.ts";

/** The buffer of products that are yet to be added up. */
const PRODUCTS = "expert products";
const tilesOf = (routes: Name): string => `tiles of ${routes}`;

export function lowerRoute({ route }: { route: RouteOp }, form: FormName, lowering: Lowering): Dispatch[] {
  const { program, variants, maxRows } = lowering;
  const { input, output, normalize, trace } = route;
  const experts = columnsOf(input, program);
  const chosen = columnsOf(output, program) / 2;
  const { workgroup } = variants.norm;
  const choose: Dispatch = {
    spec: routeKernel({ experts, chosen, normalize }, workgroup),
    buffers: [input, output],
    workgroups: ({ rows }) => [rows, 1, 1],
    bytes: ({ rows }) => rows * (experts + 2 * chosen) * 4,
  };
  const group: Dispatch = {
    spec: groupKernel({ experts, chosen, maxRows }, workgroup),
    buffers: [output, "rows", tilesOf(output)],
    workgroups: () => [1, 1, 1],
    bytes: ({ rows }) => rows * chosen * 8,
  };
  return [...traced([choose], { trace, output }, lowering), ...(form === "block" ? [group] : [])];
}

export function lowerExperts(
  { experts: op }: { experts: ExpertsOp },
  form: FormName,
  lowering: Lowering,
): Dispatch[] {
  const { program } = lowering;
  if (form !== "block" || op.kind === "each") {
    const kind = form === "block" ? "tiled rows" : op.kind;
    return traced(lowerProducts(op, kind, op.output, lowering), op, lowering);
  }
  const chosen = chosenExperts(program, op);
  const columns = columnsOf(op.output, program);
  const combine: Dispatch = {
    spec: combineKernel(columns, chosen, op.accumulate),
    buffers: [PRODUCTS, op.routes, op.output],
    workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
    bytes: ({ rows }) => rows * columns * 4 * (chosen + 1),
  };
  return traced([...lowerProducts(op, "tiled lines", PRODUCTS, lowering), combine], op, lowering);
}

/** A dispatch for each shard of the experts' weights. */
function lowerProducts(op: ExpertsOp, kind: ExpertsKind, output: Name, lowering: Lowering): Dispatch[] {
  const { program, layout, limits } = lowering;
  const weight = weightOf(op, layout);
  const rows = weight.rows / op.weights.length;
  const chosen = chosenExperts(program, op);
  const isTiled = kind === "tiled rows" || kind === "tiled lines";
  const variant = variantOf(weight, rows, isTiled, lowering);
  const { biases } = op;
  const spec = expertsKernel({ ...weight, rows, chosen, isBiased: biases !== undefined }, kind, variant);
  const unitsOf = (count: number): number => {
    if (isTiled) {
      return mostTiles(count, op.weights.length, chosen);
    }
    return kind === "sum" ? count : count * chosen;
  };
  return weight.shards.map((shard, i): Dispatch => ({
    spec,
    buffers: [op.input, "vectors", shard.buffer, output, isTiled ? tilesOf(op.routes) : op.routes],
    params: expertsParams({
      first: shard.first / rows,
      count: shard.count / rows,
      add: kind === "sum" && (op.accumulate || i > 0),
      biases: biases === undefined ? 0 : layout.vectorOffset(biases),
    }),
    workgroups: (pass) =>
      expertsWorkgroups(unitsOf(pass.rows), rows, variant, limits.maxComputeWorkgroupsPerDimension),
    bytes: (pass) => Math.min(shard.count, pass.rows * chosen * rows) * weight.stride,
  }));
}

function variantOf(weight: Weight, rows: number, isTiled: boolean, { variants }: Lowering): ExpertsVariant {
  const product = { format: weight.format, columns: weight.columns, rows, norm: false };
  const selected = variants.gemv(isTiled ? "few" : "one", product);
  const { subgroups, workgroup, outputs } = isQuantized(weight.format)
    ? fitWorkgroup(selected, weight)
    : selected;
  return { subgroups, workgroup, outputs, tile: isTiled ? EXPERT_TILE : 1 };
}

/** Bytes of the buffers that mixtures need besides those of the program, by name. */
export function expertBuffers(
  stages: readonly Stage[],
  { program, maxRows }: Pick<Lowering, "program" | "maxRows">,
): Map<string, number> {
  const buffers = new Map<string, number>();
  for (const stage of stages) {
    if (stage.kind === "route") {
      const { input, output } = stage.route;
      const words = tileWords(maxRows, columnsOf(input, program), columnsOf(output, program) / 2);
      buffers.set(tilesOf(output), words * 4);
    } else if (stage.kind === "experts" && stage.experts.kind === "sum") {
      const op = stage.experts;
      const bytes = maxRows * chosenExperts(program, op) * columnsOf(op.output, program) * 4;
      buffers.set(PRODUCTS, Math.max(bytes, buffers.get(PRODUCTS) ?? 0));
    }
  }
  return buffers;
}
