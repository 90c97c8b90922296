/** Lowers attention: for few rows split over positions and merged, for blocks tile by tile. */
import { cacheNumberBytes } from "../../../kernels/append/append.gpu.ts";
import {
  attentionBlockKernel,
  attentionBlockWorkgroups,
  attentionCombineKernel,
  attentionCombineWorkgroups,
  attentionDecodeKernel,
  attentionDecodeWorkgroups,
  attentionParams,
  attentionPartialWords,
  attentionTileRows,
  type AttentionShape,
} from "../../../kernels/attention/attention.gpu.ts";
import { uniformHeads } from "../../state.ts";
import { FEW_ROWS, type Dispatch, type PassShape } from "./dispatch.ts";
import { traced, type Lowering } from "./lowering.ts";
import type { Stage } from "./stage.ts";

type AttentionStage = Extract<Stage, { kind: "attention" }>;

function shapeOf(
  { attention }: AttentionStage,
  { program, contextLength, cache }: Pick<Lowering, "program" | "contextLength" | "cache">,
): AttentionShape {
  const { kvHeads, headDim } = uniformHeads(program);
  const { heads, window, over, softCap } = attention;
  return {
    heads,
    kvHeads,
    headDim,
    context: contextLength,
    cache,
    window,
    source: over === "source",
    isCapped: softCap !== undefined,
  };
}

/** Number of positions up to the longest row and with it; the length of the source where attention is over that. */
function lengthOf({ source }: AttentionShape, { length, sourceLength }: PassShape): number {
  return source === true ? sourceLength : length;
}

/** Number of positions that the longest row sees. */
function seenOf(shape: AttentionShape, pass: PassShape): number {
  return Math.min(lengthOf(shape, pass), shape.window ?? Infinity);
}

export function lowerAttentionFew(stage: AttentionStage, lowering: Lowering): Dispatch[] {
  const { maxRows } = lowering;
  const { query, layer, output, scale, softCap } = stage.attention;
  const shape = shapeOf(stage, lowering);
  const decode: Dispatch = {
    spec: attentionDecodeKernel(shape, maxRows),
    buffers: [query, `keys ${layer}`, `values ${layer}`, "partials", "rows"],
    params: attentionParams(scale, softCap),
    workgroups: (pass) => attentionDecodeWorkgroups(shape, pass.rows, lengthOf(shape, pass)),
    bytes: (pass) => pass.rows * seenOf(shape, pass) * cacheBytes(shape),
  };
  const combine: Dispatch = {
    spec: attentionCombineKernel(shape, maxRows),
    buffers: ["partials", output, "rows"],
    workgroups: ({ rows }) => [...attentionCombineWorkgroups(shape, rows), 1],
    bytes: ({ rows }) => rows * shape.heads * shape.headDim * 4,
  };
  return traced([decode, combine], { trace: stage.trace, output }, lowering);
}

export function lowerAttentionBlock(stage: AttentionStage, lowering: Lowering): Dispatch[] {
  const { maxRows } = lowering;
  const { query, layer, output, scale, softCap } = stage.attention;
  const shape = shapeOf(stage, lowering);
  const block: Dispatch = {
    spec: attentionBlockKernel(shape, maxRows),
    buffers: [
      query,
      `keys ${layer}`,
      `values ${layer}`,
      output,
      "query tiles",
      ...(shape.source === true ? ["rows"] : []),
    ],
    params: attentionParams(scale, softCap),
    workgroups: ({ queryTiles }) => [...attentionBlockWorkgroups(shape, queryTiles), 1],
    bytes: (pass) => {
      const outputs = pass.rows * shape.heads * shape.headDim;
      return (
        Math.min(seenOf(shape, pass) + pass.rows, lengthOf(shape, pass)) * cacheBytes(shape) + outputs * 8
      );
    },
  };
  return traced([block], { trace: stage.trace, output }, lowering);
}

/** Bytes of a key and a value of all heads at one position. */
function cacheBytes({ kvHeads, headDim, cache }: AttentionShape): number {
  return 2 * kvHeads * headDim * cacheNumberBytes(cache);
}

/** Sizes that depend on the program's attentions. */
export function attentionSizes(
  stages: readonly Stage[],
  lowering: Pick<Lowering, "program" | "contextLength" | "cache">,
): { partialWords: number; tileRows: number } {
  const shapes = stages
    .filter((stage) => stage.kind === "attention")
    .map((stage) => shapeOf(stage, lowering));
  return {
    partialWords: Math.max(1, ...shapes.map((shape) => attentionPartialWords(shape, FEW_ROWS))),
    tileRows: shapes.length === 0 ? 1 : Math.min(...shapes.map(attentionTileRows)),
  };
}
