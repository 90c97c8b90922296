/** What a device computes before it is trusted with a model; run/device-check.ts does it. */
import {
  selectBlockAttention,
  type BlockAttention,
} from "../../../kernels/attention/attention-select.gpu.ts";
import type { AttentionShape } from "../../../kernels/attention/attention.gpu.ts";
import type { DecodeAttentionVariant } from "../../../kernels/attention/decode.gpu.ts";
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

/** Attention of one row over f32 keys and values, by this variant of the kernels. */
export interface RowAttentionCheck {
  shape: AttentionShape;
  variant: DecodeAttentionVariant;
  /** Positions of the rows, each in a pass of its own. */
  positions: readonly number[];
}

export interface DeviceCheck {
  /** Products on matrix units. */
  product?: ProductCheck;
  /** Attention of a block on matrix units. */
  attention?: AttentionCheck;
  rowAttention?: RowAttentionCheck;
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

/**
 * What is checked: on hardware the attention of one row, whose kernels use subgroups; products and attention of blocks in the modes
 * that use matrix units.
 */
export function planDeviceCheck(
  stages: readonly Stage[],
  lowering: Lowering,
  isSoftware: boolean,
): DeviceCheck {
  const { program, prefill, features, limits, adapterName, variants } = lowering;
  const check: DeviceCheck = {};
  const heads = stages.find((each) => each.kind === "attention")?.attention.heads;
  const shapeFor = (context: number): AttentionShape | undefined =>
    heads === undefined ? undefined : { heads, ...uniformHeads(program), context, cache: "f32" };
  const { directPositions } = variants.attention;
  const rowShape = shapeFor(directPositions + BEFORE);
  if (!isSoftware && variants.attention.subgroups !== undefined && rowShape !== undefined) {
    // The last row that is done directly, and one whose positions are split.
    const positions = [directPositions - 1, directPositions + BEFORE - 1].filter((position) => position >= 0);
    check.rowAttention = { shape: rowShape, variant: variants.attention, positions };
  }
  if (prefill !== "subgroup-matrix" && prefill !== "split" && prefill !== "split-emulated") {
    return check;
  }
  const adapter = { name: adapterName, ...features, ...limits };
  const size = { rows: ROWS, count: SHAPE.outputColumns };
  check.product = {
    shape: SHAPE,
    rows: ROWS,
    plan: selectGemm(adapter, SHAPE, prefill, size, variants.gemm),
  };
  const shape = shapeFor(BEFORE + ATTENTION_ROWS);
  if (shape !== undefined && prefill === "subgroup-matrix") {
    const kernel = selectBlockAttention(shape, ATTENTION_ROWS, adapter, variants.blockAttention);
    check.attention = { shape, rows: ATTENTION_ROWS, before: BEFORE, kernel, maxRows: ATTENTION_ROWS };
  }
  return check;
}
