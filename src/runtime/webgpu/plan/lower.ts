/**
 * From stages to dispatches: which kernel, over which buffers, how many workgroups. There are three forms of every entry:
 * "one" row (decode), a "few" rows (short prompts, batches), and "block" (prefill), where norm, rotation and gate are
 * dispatches of their own between tiled products.
 */
import {
  embedKernel,
  embedParams,
  positionsKernel,
  positionsParams,
} from "../../../kernels/embed/embed.gpu.ts";
import {
  activateKernel,
  addKernel,
  appendKernel,
  elementwiseWorkgroups,
  rotateKernel,
  swigluKernel,
} from "../../../kernels/elementwise/elementwise.gpu.ts";
import {
  gemvKernel,
  gemvParams,
  gemvWorkgroups,
  type Epilogue,
  type GemvVariant,
} from "../../../kernels/linear/gemv.gpu.ts";
import { normKernel, normParams } from "../../../kernels/norm/norm.gpu.ts";
import type { PrefillMode } from "../../generation/types.ts";
import type { Name, NormOp, Program } from "../../program.ts";
import { uniformHeads } from "../../state.ts";
import type { GpuFeatures, GpuLimits } from "../run/device.ts";
import { LOGIT_ROWS, type Dispatch, type Form, type FormName } from "./dispatch.ts";
import type { Stage } from "./fuse.ts";
import { weightKey, type Weight, type WeightLayout } from "./layout.ts";
import { lowerAttentionBlock, lowerAttentionFew } from "./lower-attention.ts";
import { lowerGateBlock, lowerLinearBlock, lowerQkvBlock } from "./lower-block.ts";
import type { Variants } from "./select.ts";

export interface Lowering {
  program: Program;
  layout: WeightLayout;
  contextLength: number;
  maxRows: number;
  prefill: PrefillMode | "f16-emulated";
  variants: Variants;
  features: GpuFeatures;
  limits: GpuLimits;
  /** For errors. */
  adapterName: string;
}

/** A stage that multiplies by weights. */
export type ProductStage = Extract<Stage, { weights: readonly Name[] }>;

export function lowerEntry(stages: readonly Stage[], lowering: Lowering): Readonly<Record<FormName, Form>> {
  const logits = stages.filter((stage) => stage.kind === "logits");
  const rest = stages.filter((stage) => stage.kind !== "logits");
  const head = (variant: GemvVariant): Dispatch[] =>
    logits.flatMap((stage) => lowerGemv(stage, variant, lowering));
  const { one, few } = lowering.variants.gemv;
  const heads = { one: head(one), few: head(few) };
  return {
    one: { body: rest.flatMap((stage) => lowerRows(stage, one, lowering)), head: heads.one },
    few: { body: rest.flatMap((stage) => lowerRows(stage, few, lowering)), head: heads.few },
    block: { body: rest.flatMap((stage) => lowerBlock(stage, lowering)), head: heads.few },
  };
}

/** Columns of the buffer that holds stacked products before they are taken apart. */
export function wideColumns(program: Program, stages: readonly Stage[]): number {
  const rows = (name: Name): number => program.matrices.get(name)?.rows ?? 0;
  return Math.max(
    0,
    ...stages.map((stage) =>
      stage.kind === "qkv" || stage.kind === "gate"
        ? stage.weights.reduce((sum, name) => sum + rows(name), 0)
        : 0,
    ),
  );
}

function lowerRows(stage: Stage, variant: GemvVariant, lowering: Lowering): Dispatch[] {
  if ("weights" in stage) {
    return lowerGemv(stage, variant, lowering);
  }
  return stage.kind === "attention" ? lowerAttentionFew(stage, lowering) : lowerSimple(stage, lowering);
}

function lowerBlock(stage: Stage, lowering: Lowering): Dispatch[] {
  if (!("weights" in stage)) {
    return stage.kind === "attention" ? lowerAttentionBlock(stage, lowering) : lowerSimple(stage, lowering);
  }
  const { norm } = stage;
  const input = norm?.output ?? stage.input;
  const before = norm === undefined ? [] : [lowerNorm(norm, lowering)];
  switch (stage.kind) {
    case "qkv":
      return [...before, ...lowerQkvBlock({ ...stage, input }, lowering)];
    case "gate":
      return [...before, ...lowerGateBlock({ ...stage, input }, lowering)];
    case "linear":
      return [...before, ...lowerLinearBlock({ ...stage, input }, lowering)];
    case "logits":
      throw new Error("Logits are the head of a form, not of its body.");
  }
}

/** The product of few rows with everything around it folded in; a dispatch for each shard. */
function lowerGemv(stage: ProductStage, variant: GemvVariant, lowering: Lowering): Dispatch[] {
  const { layout, maxRows, limits, program } = lowering;
  const weight = weightOf(stage, layout);
  const { norm, biases, kind } = stage;
  const hasBias = biases.some((bias) => bias !== undefined);
  const gather = kind === "logits";
  const outputColumns =
    kind === "logits"
      ? program.vocabSize
      : kind === "gate"
        ? weight.rows / 2
        : columnsOf(stage.output, program);
  const spec = gemvKernel(
    {
      format: weight.format,
      columns: weight.columns,
      outputColumns,
      norm: norm !== undefined,
      bias: hasBias,
      epilogue: epilogueOf(stage, lowering),
      gather,
      maxRows,
    },
    variant,
  );
  const cache =
    kind === "qkv" ? [`keys ${stage.layer}`, `values ${stage.layer}`, ...(stage.rope ? ["rope"] : [])] : [];
  const dispatches = weight.shards.map(({ buffer, first, count }): Dispatch => {
    const bytes = count * weight.stride;
    return {
      spec,
      buffers: [
        stage.input,
        "vectors",
        buffer,
        kind === "logits" ? "logits" : stage.output,
        "rows",
        ...cache,
      ],
      params: gemvParams({
        gain: norm === undefined ? 0 : layout.vectorOffset([norm.weight]),
        epsilon: norm?.epsilon ?? 0,
        bias: hasBias ? layout.vectorOffset(biases) : 0,
        first,
        count,
      }),
      workgroups: ({ rows, logitRows }) =>
        gemvWorkgroups(
          count,
          gather ? Math.min(logitRows, LOGIT_ROWS) : rows,
          variant,
          limits.maxComputeWorkgroupsPerDimension,
        ),
      bytes: () => bytes,
    };
  });
  const { headDim } = uniformHeads(program);
  if (kind === "qkv" && columnsOf(stage.output, program) % headDim !== 0) {
    throw new Error(`The buffer "${stage.output}" does not hold whole heads of ${headDim}.`);
  }
  return kind === "logits" || kind === "qkv" ? dispatches : traced(dispatches, stage, lowering);
}

function epilogueOf(stage: ProductStage, { program, contextLength }: Lowering): Epilogue {
  switch (stage.kind) {
    case "logits":
      return { kind: "store" };
    case "linear":
      return stage.accumulate ? { kind: "add" } : { kind: "store", activation: stage.activation };
    case "gate":
      return { kind: "gate" };
    case "qkv": {
      const { kvHeads, headDim } = uniformHeads(program);
      const heads = columnsOf(stage.output, program) / headDim;
      const rotary = stage.rope ? rotaryOf(program) : 0;
      return { kind: "qkv", heads, kvHeads, headDim, context: contextLength, rotary };
    }
  }
}

/** Elements of a head that are rotated. */
export function rotaryOf({ rope }: Program): number {
  if (rope === undefined) {
    throw new Error("The program rotates, but has no table of frequencies.");
  }
  return 2 * rope.inverseFrequencies.length;
}

/** Stages that are the same in every form. */
function lowerSimple(
  stage: Exclude<Stage, ProductStage | { kind: "attention" }>,
  lowering: Lowering,
): Dispatch[] {
  const { program, layout, maxRows, contextLength } = lowering;
  switch (stage.kind) {
    case "embed": {
      const { embed, positions } = stage;
      const weight = weightOf({ weights: [embed.table] }, layout);
      const learned = positions && weightOf({ weights: [positions.table] }, layout).shards[0].buffer;
      const spec = embedKernel(weight, maxRows, positions !== undefined);
      const dispatches = weight.shards.map(({ buffer, first, count }): Dispatch => ({
        spec,
        buffers: ["rows", buffer, stage.output, ...(learned === undefined ? [] : [learned])],
        params: embedParams({ first, count, scale: embed.scale ?? 1, offset: positions?.offset ?? 0 }),
        workgroups: ({ rows }) => [rows, 1, 1],
        bytes: ({ rows }) => rows * weight.stride,
      }));
      return traced(dispatches, stage, lowering);
    }
    case "positions": {
      const { table, offset } = stage.positions;
      const weight = weightOf({ weights: [table] }, layout);
      const dispatches = weight.shards.map(({ buffer, first, count }): Dispatch => ({
        spec: positionsKernel(weight, maxRows),
        buffers: ["rows", buffer, stage.output],
        params: positionsParams({ first, count, offset }),
        workgroups: ({ rows }) => [rows, 1, 1],
        bytes: ({ rows }) => rows * weight.stride,
      }));
      return traced(dispatches, stage, lowering);
    }
    case "norm":
      return traced([lowerNorm(stage.norm, lowering)], { ...stage, output: stage.norm.output }, lowering);
    case "rope": {
      const rotary = rotaryOf(program);
      const pairs = (stage.heads * rotary) / 2;
      const dispatch: Dispatch = {
        spec: rotateKernel({ heads: stage.heads, headDim: stage.headDim, rotary }, maxRows),
        buffers: [stage.buffer, "rope", "rows"],
        workgroups: ({ rows }) => elementwiseWorkgroups(pairs, rows),
        bytes: ({ rows }) => rows * pairs * 16,
      };
      return traced([dispatch], { ...stage, output: stage.buffer }, lowering);
    }
    case "append": {
      const { kvHeads, headDim } = uniformHeads(program);
      const columns = kvHeads * headDim;
      return [
        {
          spec: appendKernel(columns, contextLength, maxRows),
          buffers: [stage.key, stage.value, `keys ${stage.layer}`, `values ${stage.layer}`, "rows"],
          workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
          bytes: ({ rows }) => rows * columns * 16,
        },
      ];
    }
    case "activate": {
      const columns = columnsOf(stage.output, program);
      const isInPlace = stage.input === stage.output;
      const dispatch: Dispatch = {
        spec: activateKernel(columns, stage.activation, isInPlace, maxRows),
        buffers: [...(isInPlace ? [] : [stage.input]), stage.output, "rows"],
        workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
        bytes: ({ rows }) => rows * columns * 8,
      };
      return traced([dispatch], stage, lowering);
    }
    case "swiglu": {
      if (stage.output !== stage.gate) {
        throw new Error(`A gate writes to its gate, "${stage.gate}"; the program names "${stage.output}".`);
      }
      const columns = columnsOf(stage.output, program);
      const dispatch: Dispatch = {
        spec: swigluKernel(columns, maxRows),
        buffers: [stage.gate, stage.up, "rows"],
        workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
        bytes: ({ rows }) => rows * columns * 12,
      };
      return traced([dispatch], stage, lowering);
    }
    case "add": {
      const columns = columnsOf(stage.target, program);
      const dispatch: Dispatch = {
        spec: addKernel(columns, maxRows),
        buffers: [stage.input, stage.target, "rows"],
        workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
        bytes: ({ rows }) => rows * columns * 12,
      };
      return traced([dispatch], { ...stage, output: stage.target }, lowering);
    }
  }
}

function lowerNorm(norm: NormOp, { program, layout, variants }: Lowering): Dispatch {
  const columns = columnsOf(norm.input, program);
  return {
    spec: normKernel({ kind: norm.kind, columns, bias: norm.bias !== undefined }, variants.norm),
    buffers: [norm.input, "vectors", norm.output],
    params: normParams({
      gain: layout.vectorOffset([norm.weight]),
      bias: layout.vectorOffset([norm.bias]),
      epsilon: norm.epsilon,
    }),
    workgroups: ({ rows }) => [rows, 1, 1],
    bytes: ({ rows }) => rows * columns * 8,
  };
}

export function weightOf({ weights }: { weights: readonly Name[] }, layout: WeightLayout): Weight {
  const key = weightKey(weights);
  const weight = layout.weights.get(key);
  if (weight === undefined) {
    throw new Error(`The weight "${key}" was not laid out.`);
  }
  return weight;
}

export function columnsOf(buffer: Name, program: Program): number {
  const columns = program.buffers.get(buffer);
  if (columns === undefined) {
    throw new Error(`The program declares no buffer "${buffer}".`);
  }
  return columns;
}

/** After the last of these dispatches the stage's output is complete. */
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
