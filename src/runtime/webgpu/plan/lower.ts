/**
 * Makes dispatches of stages: which kernel, over which buffers, how many workgroups. There are three forms of every
 * entry: "one" row (decode), a "few" rows (short prompts, batches), and "block" (prefill), where norm, rotation and
 * gate are dispatches of their own between tiled products.
 */
import { isQuantized } from "../../../kernels/format.ts";
import {
  fitWorkgroup,
  gemvKernel,
  gemvParams,
  gemvWorkgroups,
  type Epilogue,
} from "../../../kernels/linear/gemv.gpu.ts";
import type { Name, Program, RowRange } from "../../program.ts";
import { uniformHeads } from "../../state.ts";
import { LOGIT_ROWS, type Dispatch, type Form, type FormName } from "./dispatch.ts";
import { lowerAttentionBlock, lowerAttentionFew } from "./lower-attention.ts";
import { lowerGluBlock, lowerLinearBlock, lowerQkvBlock } from "./lower-block.ts";
import { lowerExperts, lowerRoute } from "./lower-experts.ts";
import { lowerNorm, lowerSingle } from "./lower-single.ts";
import { columnsOf, ropeBuffers, rotaryOf, stackedWeights, traced, type Lowering } from "./lowering.ts";
import type { Weight } from "./layout.ts";
import type { ProductStage, Stage } from "./stage.ts";

export function lowerEntry(stages: readonly Stage[], lowering: Lowering): Readonly<Record<FormName, Form>> {
  const logits = stages.filter((stage) => stage.kind === "logits");
  const rest = stages.filter((stage) => stage.kind !== "logits");
  const head = (rows: RowCount): Dispatch[] => logits.flatMap((stage) => lowerGemv(stage, rows, lowering));
  const heads = { one: head("one"), few: head("few") };
  return {
    one: { body: rest.flatMap((stage) => lowerRows(stage, "one", lowering)), head: heads.one },
    few: { body: rest.flatMap((stage) => lowerRows(stage, "few", lowering)), head: heads.few },
    block: { body: rest.flatMap((stage) => lowerBlock(stage, lowering)), head: heads.few },
  };
}

/** The forms whose products are folded into one kernel with what is around them. */
type RowCount = Exclude<FormName, "block">;

/** Columns of the buffer that holds stacked products before they are taken apart. */
export function wideColumns(program: Program, stages: readonly Stage[]): number {
  const rows = (name: Name): number => program.matrices.get(name)?.rows ?? 0;
  return Math.max(
    0,
    ...stages.map((stage) =>
      stage.kind === "qkv" || stage.kind === "glu"
        ? stage.weights.reduce((sum, name) => sum + rows(name), 0)
        : 0,
    ),
  );
}

function lowerRows(stage: Stage, rows: RowCount, lowering: Lowering): Dispatch[] {
  if ("weights" in stage) {
    return lowerGemv(stage, rows, lowering);
  }
  return lowerOther(stage, rows, lowering);
}

/** Lowers a stage that is no product by one matrix, or several. */
function lowerOther(stage: Exclude<Stage, ProductStage>, form: FormName, lowering: Lowering): Dispatch[] {
  if (stage.kind === "route") {
    return lowerRoute(stage, form, lowering);
  }
  if (stage.kind === "experts") {
    return lowerExperts(stage, form, lowering);
  }
  if (stage.kind === "attention") {
    return form === "block" ? lowerAttentionBlock(stage, lowering) : lowerAttentionFew(stage, lowering);
  }
  return lowerSingle(stage, lowering);
}

function lowerBlock(stage: Stage, lowering: Lowering): Dispatch[] {
  if (!("weights" in stage)) {
    return lowerOther(stage, "block", lowering);
  }
  const { norm } = stage;
  const input = norm?.output ?? stage.input;
  const before = norm === undefined ? [] : [lowerNorm(norm, lowering)];
  switch (stage.kind) {
    case "qkv":
      return [...before, ...lowerQkvBlock({ ...stage, input }, lowering)];
    case "glu":
      return [...before, ...lowerGluBlock({ ...stage, input }, lowering)];
    case "linear":
      return [...before, ...lowerLinearBlock({ ...stage, input }, lowering)];
    case "logits":
      throw new Error("Logits are the head of a form, not of its body.");
  }
}

/** Lowers the product of few rows, with everything around it folded in, to a dispatch for each shard of each stack. */
function lowerGemv(stage: ProductStage, rows: RowCount, lowering: Lowering): Dispatch[] {
  const dispatches = stackedWeights(stage, lowering.layout).flatMap((stack) =>
    lowerStack(stage, stack, rows, lowering),
  );
  return stage.kind === "logits" || stage.kind === "qkv" ? dispatches : traced(dispatches, stage, lowering);
}

function lowerStack(
  stage: ProductStage,
  { weight, begin }: { weight: Weight; begin: number },
  rowCount: RowCount,
  lowering: Lowering,
): Dispatch[] {
  const { layout, maxRows, limits, program } = lowering;
  const { norm, biases, kind } = stage;
  const selected = lowering.variants.gemv(rowCount, { ...weight, norm: norm !== undefined });
  const variant = isQuantized(weight.format) ? fitWorkgroup(selected, weight) : selected;
  const hasBias = biases.some((bias) => bias !== undefined);
  const gather = kind === "logits";
  const outputColumns =
    kind === "logits"
      ? program.vocabSize
      : kind === "glu"
        ? weight.rows / 2
        : columnsOf(stage.output, program);
  const spec = gemvKernel(
    {
      format: weight.format,
      columns: weight.columns,
      outputColumns,
      norm: norm !== undefined,
      bias: hasBias,
      epilogue: epilogueOf(stage, { start: begin, end: begin + weight.rows }, lowering),
      gather,
      maxRows,
      count: weight.shards.length === 1 ? weight.rows : undefined,
    },
    variant,
  );
  const cache = kind === "qkv" ? [`keys ${stage.layer}`, `values ${stage.layer}`, ...ropeBuffers(stage)] : [];
  return weight.shards.map(({ buffer, first, count }): Dispatch => {
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
        bias: hasBias ? layout.vectorOffset(biases) + begin : 0,
        first,
        count,
        cap: kind === "logits" ? stage.softCap : undefined,
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
}

/** @param rows those of the stage's weights that are multiplied */
function epilogueOf(
  stage: ProductStage,
  rows: RowRange,
  { program, contextLength, cache }: Lowering,
): Epilogue {
  switch (stage.kind) {
    case "logits":
      return { kind: "store", isCapped: stage.softCap !== undefined };
    case "linear":
      return stage.accumulate ? { kind: "add" } : { kind: "store", activation: stage.activation };
    case "glu":
      return { kind: "gate", activation: stage.activation };
    case "qkv": {
      const { kvHeads, headDim } = uniformHeads(program);
      const columns = columnsOf(stage.output, program);
      if (columns % headDim !== 0) {
        throw new Error(`The buffer "${stage.output}" does not hold whole heads of ${headDim}.`);
      }
      const heads = columns / headDim;
      const rotary = stage.table === undefined ? 0 : rotaryOf(program, stage.table);
      const [first, end] = [rows.start / headDim, rows.end / headDim];
      /** Heads of these rows that lie in [from, to) of all heads of the stage. */
      const within = (from: number, to: number): number =>
        Math.max(0, Math.min(end, to) - Math.max(first, from));
      return {
        kind: "qkv",
        heads: within(0, heads),
        keyHeads: within(heads, heads + kvHeads),
        valueHeads: within(heads + kvHeads, heads + 2 * kvHeads),
        kvHeads,
        headDim,
        context: contextLength,
        cache,
        rotary,
      };
    }
  }
}
