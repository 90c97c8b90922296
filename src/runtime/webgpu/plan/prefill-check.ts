/** What a device computes before its matrix units are trusted with a prompt; run/prefill-check.ts does it. */
import {
  selectBlockAttention,
  type BlockAttention,
} from "../../../kernels/attention/attention-select.gpu.ts";
import type { AttentionShape } from "../../../kernels/attention/attention.gpu.ts";
import { selectGemm, type GemmPlan } from "../../../kernels/linear/gemm-select.gpu.ts";
import type { GemmShape } from "../../../kernels/linear/gemm.gpu.ts";
import { uniformHeads } from "../../state.ts";
import type { Lowering } from "./lowering.ts";
import type { Stage } from "./stage.ts";

/** A product of a bf16 weight, and the kernels that compute it. */
export interface ProductCheck {
  shape: GemmShape;
  rows: number;
  plan: GemmPlan;
}

/** Attention over f32 keys and values, by the kernel that is checked. */
export interface AttentionCheck {
  shape: AttentionShape;
  rows: number;
  /** Positions before the rows. */
  before: number;
  kernel: BlockAttention;
  maxRows: number;
}

export interface PrefillCheck {
  product: ProductCheck;
  attention?: AttentionCheck;
}

/** Sizes that no tile divides, with more rows than the largest tile has. */
const ROWS = 150;
const SHAPE: GemmShape = {
  format: "bf16",
  columns: 328,
  outputColumns: 140,
  bias: false,
  accumulate: false,
  quads: true,
  maxRows: ROWS,
};
const ATTENTION_ROWS = 70;
const BEFORE = 30;

/** The check of a mode that uses matrix units; undefined for the others. */
export function planPrefillCheck(
  stages: readonly Stage[],
  { program, prefill, features, limits, adapterName, variants }: Lowering,
): PrefillCheck | undefined {
  if (prefill !== "subgroup-matrix" && prefill !== "split" && prefill !== "split-emulated") {
    return undefined;
  }
  const adapter = { name: adapterName, ...features, ...limits };
  const size = { rows: ROWS, count: SHAPE.outputColumns };
  const product = {
    shape: SHAPE,
    rows: ROWS,
    plan: selectGemm(adapter, SHAPE, prefill, size, variants.gemm),
  };
  const stage = stages.find((each) => each.kind === "attention");
  if (stage === undefined || prefill !== "subgroup-matrix") {
    return { product };
  }
  const { kvHeads, headDim } = uniformHeads(program);
  const { heads } = stage.attention;
  const shape: AttentionShape = { heads, kvHeads, headDim, context: BEFORE + ATTENTION_ROWS, cache: "f32" };
  const kernel = selectBlockAttention(shape, ATTENTION_ROWS, adapter, variants.blockAttention);
  return {
    product,
    attention: { shape, rows: ATTENTION_ROWS, before: BEFORE, kernel, maxRows: ATTENTION_ROWS },
  };
}
