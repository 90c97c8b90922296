/** Lowers attention: for few rows split over positions and merged, for blocks tile by tile. */
import { cacheNumberBytes } from "../../../kernels/append/append.gpu.ts";
import {
  selectBlockAttention,
  type BlockAttention,
} from "../../../kernels/attention/attention-select.gpu.ts";
import {
  attentionParams,
  readsVectors,
  type AttentionShape,
} from "../../../kernels/attention/attention.gpu.ts";
import {
  attentionCombineKernel,
  attentionDirectKernel,
  attentionDecodeWorkgroups,
  attentionPartialWords,
  attentionSplitKernel,
  attentionSplitsRows,
  type DecodeRows,
} from "../../../kernels/attention/decode.gpu.ts";
import { uniformHeads } from "../../state.ts";
import type { Dispatch, PassShape } from "./dispatch.ts";
import { traced, type Lowering } from "./lowering.ts";
import type { Stage } from "./stage.ts";

type AttentionStage = Extract<Stage, { kind: "attention" }>;

/** What the kernel for blocks of rows depends on. */
type BlockLowering = Pick<Lowering, "maxRows" | "prefill" | "features" | "limits" | "variants">;

function shapeOf(
  { attention }: AttentionStage,
  { program, contextLength, cache }: Pick<Lowering, "program" | "contextLength" | "cache">,
): AttentionShape {
  const { kvHeads, headDim } = uniformHeads(program);
  const { heads, window, over, softCap, bias, sinks } = attention;
  return {
    heads,
    kvHeads,
    headDim,
    context: contextLength,
    cache,
    window,
    source: over === "source",
    isCapped: softCap !== undefined,
    bias: bias?.kind,
    hasSinks: sinks !== undefined,
  };
}

/** The kernel for blocks of rows. */
function blockAttention(
  shape: AttentionShape,
  { maxRows, prefill, features, limits, variants }: BlockLowering,
): BlockAttention {
  const adapter = prefill === "subgroup-matrix" ? { ...features, ...limits } : undefined;
  return selectBlockAttention(shape, maxRows, adapter, variants.blockAttention);
}

function paramsOf({ attention }: AttentionStage, { layout }: Lowering): Uint32Array {
  const { scale, softCap: cap, bias, sinks } = attention;
  const table = bias?.kind === "table" ? layout.vectorOffset([bias.table]) : 0;
  return attentionParams(scale, { cap, bias, table, sinks: layout.vectorOffset([sinks]) });
}

/** The buffer of an attention's vectors, where it has some. */
function vectorBuffers(shape: AttentionShape): string[] {
  return readsVectors(shape) ? ["vectors"] : [];
}

/** Number of positions up to the longest row and with it; the length of the source where attention is over that. */
function lengthOf({ source }: AttentionShape, { length, sourceLength }: PassShape): number {
  return source === true ? sourceLength : length;
}

/** Number of positions that the longest row sees. */
function seenOf(shape: AttentionShape, pass: PassShape): number {
  return Math.min(lengthOf(shape, pass), shape.window ?? Infinity);
}

function decodeRows(shape: AttentionShape, pass: PassShape): DecodeRows {
  const { source } = shape;
  return {
    count: pass.rows,
    shortest: source === true ? pass.sourceLength : pass.shortest,
    longest: lengthOf(shape, pass),
  };
}

/**
 * One dispatch for short rows, and two for long ones: of each pass those are launched that it has rows for. What no row can
 * come to is left out.
 */
export function lowerAttentionFew(stage: AttentionStage, lowering: Lowering): Dispatch[] {
  const { maxRows, variants } = lowering;
  const { query, layer, output } = stage.attention;
  const shape = shapeOf(stage, lowering);
  const variant = variants.attention;
  const workgroups = attentionDecodeWorkgroups(shape, variant);
  const inputs = [query, `keys ${layer}`, `values ${layer}`];
  const params = paramsOf(stage, lowering);
  const rows = ["rows", ...vectorBuffers(shape)];
  const bytes = (pass: PassShape): number => pass.rows * seenOf(shape, pass) * cacheBytes(shape);
  const direct: Dispatch = {
    spec: attentionDirectKernel(shape, variant, maxRows),
    buffers: [...inputs, output, ...rows],
    params,
    workgroups: (pass) => workgroups.direct(decodeRows(shape, pass)),
    bytes,
  };
  const split: Dispatch = {
    spec: attentionSplitKernel(shape, variant, maxRows),
    buffers: [...inputs, "partials", ...rows],
    params,
    workgroups: (pass) => workgroups.split(decodeRows(shape, pass)),
    bytes,
  };
  const combine: Dispatch = {
    spec: attentionCombineKernel(shape, variant, maxRows),
    buffers: ["partials", output, ...(shape.hasSinks === true ? rows : ["rows"])],
    ...(shape.hasSinks === true && { params }),
    workgroups: (pass) => workgroups.combine(decodeRows(shape, pass)),
    bytes: ({ rows }) => rows * shape.heads * shape.headDim * 4,
  };
  const dispatches = [
    ...(variant.directPositions > 0 ? [direct] : []),
    ...(attentionSplitsRows(shape, variant) ? [split, combine] : []),
  ];
  return traced(dispatches, { trace: stage.trace, output }, lowering);
}

export function lowerAttentionBlock(stage: AttentionStage, lowering: Lowering): Dispatch[] {
  const { query, layer, output } = stage.attention;
  const shape = shapeOf(stage, lowering);
  const { spec, workgroups } = blockAttention(shape, lowering);
  const block: Dispatch = {
    spec,
    buffers: [
      query,
      `keys ${layer}`,
      `values ${layer}`,
      output,
      "query tiles",
      ...(shape.source === true ? ["rows"] : []),
      ...vectorBuffers(shape),
    ],
    params: paramsOf(stage, lowering),
    workgroups: ({ queryTiles }) => [...workgroups(queryTiles), 1],
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

/** Sizes that depend on the program's attentions. @param fewRows the most rows of the form "few" */
export function attentionSizes(
  stages: readonly Stage[],
  lowering: BlockLowering & Pick<Lowering, "program" | "contextLength" | "cache" | "variants">,
  fewRows: number,
): { partialWords: number; tileRows: number } {
  const mostRows = Math.min(fewRows, lowering.maxRows);
  const shapes = stages
    .filter((stage) => stage.kind === "attention")
    .map((stage) => shapeOf(stage, lowering));
  return {
    partialWords: Math.max(
      1,
      ...shapes.map((shape) => attentionPartialWords(shape, lowering.variants.attention, mostRows)),
    ),
    // All attentions of a pass read the same tiles: no kernel may get more rows than it has places for.
    tileRows:
      shapes.length === 0 ? 1 : Math.min(...shapes.map((shape) => blockAttention(shape, lowering).tileRows)),
  };
}
