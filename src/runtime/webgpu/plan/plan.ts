/** Everything about a program on a GPU that can be known before a byte is allocated. */
import { cacheNumberBytes, type CacheFormat } from "../../../kernels/append/append.gpu.ts";
import { attentionTileWords } from "../../../kernels/attention/attention.gpu.ts";
import { isQuantized } from "../../../kernels/format.ts";
import type { MemoryUse } from "../../backend.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import type { KvPrecision, PrefillMode } from "../../device-types.ts";
import type { Quantization } from "../../held-formats.ts";
import { chosenExperts, FORWARD, type Program } from "../../program.ts";
import { isSourceLayer, uniformHeads } from "../../state.ts";
import { FEW_ROWS, LOGIT_ROWS, rowsBufferBytes, type Form, type FormName } from "./dispatch.ts";
import { fuseEntry } from "./fuse.ts";
import type { GpuDescription, GpuLimits } from "./gpu.ts";
import { fuseRules, layOutWeights, weightKey, type WeightLayout } from "./layout.ts";
import { attentionSizes } from "./lower-attention.ts";
import { packedBufferWords } from "./lower-block.ts";
import { lowerEntry, wideColumns } from "./lower.ts";
import { expertBuffers } from "./lower-experts.ts";
import { ropeBuffer, weightOf, type Lowering } from "./lowering.ts";
import { planDeviceCheck, type DeviceCheck } from "./device-check.ts";
import { selectVariants, type ForcedVariants } from "./select.ts";
import { stacksOf, type Stage } from "./stage.ts";
import { MOST_LANES } from "./token-choice.ts";

const MOST_HEAD_DIM = 256;

export interface PlanOptions {
  contextLength: number;
  slots: number;
  maxRows: number;
  /**
   * How matrices are multiplied in prefill. "f16-emulated", "split-emulated": the arithmetic of "f16" and
   * "split" on adapters without it, for tests.
   */
  prefill: PrefillMode | "f16-emulated" | "split-emulated";
  forced?: ForcedVariants;
  /** Default: float32. */
  kvPrecision?: KvPrecision;
}

/** A program planned for a GPU. Data only. */
export interface GpuPlan {
  contextLength: number;
  slots: number;
  maxRows: number;
  /** Sequences that are decoded side by side. */
  lanes: number;
  /** Bytes of a layer's keys at one position; its values have as many. */
  positionBytes: number;
  /** Query rows of one tile of the block attention. */
  queryTileRows: number;
  /** The most rows of a pass that may have the form "few"; see `formFor`. */
  fewRows: number;
  layout: WeightLayout;
  /** Bytes of every buffer, by its name. */
  buffers: ReadonlyMap<string, number>;
  entries: ReadonlyMap<string, Readonly<Record<FormName, Form>>>;
  memory: MemoryUse;
  /** What is to be right before the model is used. */
  deviceCheck: DeviceCheck;
}

/** What of a plan does not depend on the length of the context: weights can be loaded by it. */
export interface GpuWeightPlan {
  stages: ReadonlyMap<string, readonly Stage[]>;
  layout: WeightLayout;
  /** Bytes of every buffer that weights are uploaded into, by its name. */
  buffers: ReadonlyMap<string, number>;
  /** Bytes of all matrices, with their padding. */
  weightBytes: number;
}

/**
 * Plans what does not depend on the length of the context.
 *
 * @param quantization what weights become while they are loaded
 * @throws ModelComposeError "unsupported" for heads or weights that no kernel is written for, "invalid-checkpoint" for
 *   weights that are missing or of another shape
 */
export function planGpuWeights(
  program: Program,
  checkpoint: Checkpoint,
  limits: GpuLimits,
  quantization: Quantization = "none",
): GpuWeightPlan {
  checkHeads(program);
  const bindingLimit = bindingLimitOf(limits);
  const rules = fuseRules(program, checkpoint, bindingLimit, quantization);
  const stages = new Map(
    [...program.entries.keys()].map((entry) => [entry, fuseEntry(program, entry, rules)]),
  );
  const layout = layOutWeights(program, checkpoint, [...stages.values()].flat(), bindingLimit, quantization);
  const buffers = new Map<string, number>();
  for (const weight of layout.weights.values()) {
    for (const shard of weight.shards) {
      buffers.set(shard.buffer, shard.count * weight.stride);
    }
  }
  const weightBytes = sum(buffers.values());
  buffers.set("vectors", layout.vectorLength * 4);
  return { stages, layout, buffers, weightBytes };
}

/** The most bytes of a buffer, so that a kernel sees all of it. */
function bindingLimitOf({ maxStorageBufferBindingSize, maxBufferSize }: GpuLimits): number {
  return Math.min(maxStorageBufferBindingSize, maxBufferSize);
}

/**
 * Plans a program for a GPU, for one length of the context.
 *
 * @param weights what `planGpuWeights` has planned. Default: it is planned here.
 * @throws ModelComposeError "out-of-memory" for a cache that no binding holds, "invalid-argument" for a context longer
 *   than a table of positions, "unsupported" for a mode that the adapter lacks, "invalid-checkpoint"
 */
export function planGpu(
  program: Program,
  checkpoint: Checkpoint,
  gpu: GpuDescription,
  { contextLength, slots, maxRows, prefill, forced, kvPrecision }: PlanOptions,
  weights: GpuWeightPlan = planGpuWeights(program, checkpoint, gpu.limits),
): GpuPlan {
  const { limits, features } = gpu;
  checkPositions(program, contextLength);
  const bindingLimit = bindingLimitOf(limits);
  const { stages, layout, weightBytes } = weights;
  const allStages = [...stages.values()].flat();
  const { name: adapterName, isSoftware } = gpu.summary;
  const variants = selectVariants({ features, limits, isSoftware, forced });
  const cache: CacheFormat = kvPrecision === "float16" ? "f16" : "f32";
  const lowering = {
    program,
    layout,
    contextLength,
    cache,
    maxRows,
    prefill,
    variants,
    features,
    limits,
    adapterName,
  };

  const buffers = new Map(weights.buffers);
  let kvCacheBytes = 0;
  const { kvHeads, headDim } = uniformHeads(program);
  const positionBytes = kvHeads * headDim * cacheNumberBytes(cache);
  for (const layer of program.state.keys()) {
    const sequences = isSourceLayer(program, layer) ? 1 : slots;
    const bytes = sequences * contextLength * positionBytes;
    if (bytes > bindingLimit) {
      throw cacheTooLarge(adapterName, bytes, bindingLimit, contextLength);
    }
    buffers.set(`keys ${layer}`, bytes);
    buffers.set(`values ${layer}`, bytes);
    kvCacheBytes += 2 * bytes;
  }

  buffers.set("rows", rowsBufferBytes(maxRows));
  for (const [name, columns] of program.buffers) {
    buffers.set(name, maxRows * columns * 4);
  }
  buffers.set("wide", Math.max(4, maxRows * wideColumns(program, allStages) * 4));
  buffers.set("logits", Math.ceil((LOGIT_ROWS * program.vocabSize) / 4) * 16);
  for (const [table, { inverseFrequencies }] of program.ropes.entries()) {
    buffers.set(ropeBuffer(table), contextLength * inverseFrequencies.length * 8);
  }
  const fewRows = mostFewRows(allStages, lowering);
  const { partialWords, tileRows } = attentionSizes(allStages, lowering, fewRows);
  buffers.set("partials", partialWords * 4);
  const { packed, packedWeight } = packedBufferWords(allStages, lowering);
  buffers.set("packed", packed * 4);
  buffers.set("packed weight", packedWeight * 4);
  for (const [name, bytes] of expertBuffers(allStages, lowering)) {
    buffers.set(name, bytes);
  }
  buffers.set("query tiles", attentionTileWords(maxRows) * 4);
  return {
    deviceCheck: planDeviceCheck(allStages, lowering, isSoftware),
    contextLength,
    slots,
    maxRows,
    // A pass with a row a lane is of the form "few".
    lanes: Math.min(slots, MOST_LANES, maxRows),
    positionBytes,
    queryTileRows: tileRows,
    fewRows,
    layout,
    buffers,
    entries: new Map([...stages].map(([entry, list]) => [entry, lowerEntry(list, lowering)])),
    memory: {
      weightBytes,
      weightBytesPerToken: bytesPerToken(program, layout, stages.get(FORWARD) ?? []),
      kvCacheBytes,
      workBytes: sum(buffers.values()) - weightBytes - kvCacheBytes,
    },
  };
}

/** Refuses heads that the attention kernels are not written for. */
function checkHeads(program: Program): void {
  const { headDim } = uniformHeads(program);
  if (headDim % 4 === 0 && headDim <= MOST_HEAD_DIM) {
    return;
  }
  throw new ModelComposeError(
    "unsupported",
    `The model has heads of ${headDim} numbers; the GPU device does multiples of 4 up to ${MOST_HEAD_DIM}.`,
    { remedy: 'Use the device "wasm" (the CPU).' },
  );
}

/** Refuses a context longer than a table of learned positions, which kernels read without looking. */
function checkPositions({ entries, matrices }: Program, contextLength: number): void {
  for (const op of [...entries.values()].flat().flatMap(({ ops }) => ops)) {
    if (op.role !== "positions") {
      continue;
    }
    const most = (matrices.get(op.table)?.rows ?? 0) - op.offset;
    if (contextLength <= most) {
      continue;
    }
    throw new ModelComposeError(
      "invalid-argument",
      `The table of positions "${op.table}" ends at ${most} positions; the context has ${contextLength}.`,
      { remedy: `Lower the context length (contextLength) to at most ${most}.`, parameter: "contextLength" },
    );
  }
}

/**
 * Bytes of weights that a decoded token reads: a matrix of a product is read whole, of experts as many as are chosen; a table
 * that is only looked up counts for nothing.
 */
function bytesPerToken(program: Program, layout: WeightLayout, stages: readonly Stage[]): number {
  const read = new Set(stages.flatMap((stage) => ("weights" in stage ? stacksOf(stage).map(weightKey) : [])));
  const ofExperts = stages.flatMap((stage) => {
    if (stage.kind !== "experts") {
      return [];
    }
    const { weights } = stage.experts;
    const { rows, stride } = weightOf(stage.experts, layout);
    return [(rows * stride * chosenExperts(program, stage.experts)) / weights.length];
  });
  const whole = [...layout.weights.values()]
    .filter(({ key }) => read.has(key))
    .map((weight) => weight.rows * weight.stride);
  return sum([...whole, ...ofExperts]);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) {
    total += value;
  }
  return total;
}

function cacheTooLarge(name: string, need: number, limit: number, contextLength: number): ModelComposeError {
  const most = Math.floor((limit / need) * contextLength);
  return new ModelComposeError(
    "out-of-memory",
    `The KV cache of one layer needs ${formatBytes(need)} for a context of ${contextLength} tokens; the GPU ` +
      `${name} binds at most ${formatBytes(limit)} at once.`,
    {
      remedy: `Lower the context length (contextLength) to at most ${most}, or use the device "wasm".`,
      parameter: "contextLength",
    },
  );
}

/** The most rows of the form "few". Tiles of experts are made for FEW_ROWS; a few rows widen quantised weights for every tile anew. */
function mostFewRows(stages: readonly Stage[], { layout, prefill, variants }: Lowering): number {
  const isPlain =
    stages.every(({ kind }) => kind !== "experts") &&
    [...layout.weights.values()].every(({ format }) => !isQuantized(format));
  const onUnits = prefill === "subgroup-matrix" || prefill === "split" || prefill === "split-emulated";
  return isPlain ? variants.fewRows[onUnits ? "units" : "exact"] : FEW_ROWS;
}
