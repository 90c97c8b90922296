/** Which variants of the kernels a device gets: a pure choice from what the adapter has. */
import type { ForcedAttention } from "../../../kernels/attention/attention-select.gpu.ts";
import type { DecodeAttentionVariant } from "../../../kernels/attention/decode.gpu.ts";
import type { ForcedTiling } from "../../../kernels/linear/gemm-select.gpu.ts";
import type { GemvVariant } from "../../../kernels/linear/gemv.gpu.ts";
import { isQuantized, type WeightShape } from "../../../kernels/format.ts";
import { FEW_ROWS } from "./dispatch.ts";
import type { GpuFeatures, GpuLimits } from "./gpu.ts";

/** Takes variants out of the choice or forces one; for tests and experiments. */
export interface ForcedVariants {
  /** Whether kernels may use subgroups. False: variants as on an adapter without them. */
  subgroups?: boolean;
  /** Kind of adapter that sizes are chosen for. */
  kind?: "hardware" | "software";
  /** Parts of the attention of few rows. */
  attention?: Partial<Omit<DecodeAttentionVariant, "subgroups" | "workgroupMemory">>;
  /** Attention of blocks on matrix units. */
  blockAttention?: ForcedAttention;
}

/** What of a product its kernel is chosen by. */
export interface ProductSize extends WeightShape {
  /** Rows of all matrices of the weight. */
  rows: number;
  /** Whether a norm of the input is folded in. */
  norm: boolean;
}

export interface Variants {
  /**
   * How a weight is multiplied with one row, and with a few. Both deal a weight row's chunks to invocations alike where they use
   * subgroups: so a row's sums have the same bits whatever rows are beside it.
   */
  gemv: (rows: "one" | "few", product: ProductSize) => GemvVariant;
  /** The most rows of a pass that are faster as a few than as a block of so exact a mode; see `formFor`. */
  fewRows: Readonly<Record<"exact" | "units", number>>;
  /** Tiles of blocked products; empty: as shape and adapter suggest. */
  gemm: ForcedTiling;
  /** Attention of blocks on matrix units; undefined: as shape and adapter suggest. */
  blockAttention?: ForcedAttention;
  norm: { subgroups: boolean; workgroup: number };
  /** Attention of few rows. */
  attention: DecodeAttentionVariant;
}

/**
 * A software adapter runs the invocations of a workgroup in turns and switches between them at every barrier: there small
 * workgroups are fast.
 */
const INVOCATIONS = { hardware: { gemv: 128, norm: 256 }, software: { gemv: 16, norm: 16 } };

/**
 * SwiftShader compiles the loop over tileK as often as it runs: 0.4 s for 4, 1.9 s for 16, and small models have four
 * shapes.
 */
const SOFTWARE_TILING: ForcedTiling = { tiling: { rowQuads: 1, columnQuads: 1, tileK: 4, buffers: 1 } };

/**
 * Attention of few rows, from what is known of a large GPU (132 cores). A dispatch costs 2 µs whatever it does, so a row
 * is done by one as long as one core reads its keys and values in the time of another dispatch. Then a single head a
 * workgroup keeps more cores busy; of long rows the heads share what they read, and about as many workgroups as there are
 * cores read all of it in one go.
 */
const ATTENTION = {
  subgroups: {
    directPositions: 256,
    direct: { workgroup: 256, heads: 1, keyLanes: 8, keys: 4 },
    split: { workgroup: 256, heads: 4, keyLanes: 16, keys: 4 },
    mostSplits: 32,
    workgroups: 128,
    combineColumns: 8,
  },
  // Of this kernel a tile of positions takes three barriers.
  plain: {
    directPositions: 128,
    direct: { workgroup: 128, heads: 1, keyLanes: 8, keys: 1 },
    split: { workgroup: 128, heads: 8, keyLanes: 8, keys: 1 },
    mostSplits: 64,
    workgroups: 256,
    combineColumns: 8,
  },
  software: {
    directPositions: 256,
    direct: { workgroup: 16, heads: 4, keyLanes: 4, keys: 2 },
    split: { workgroup: 16, heads: 4, keyLanes: 4, keys: 2 },
    mostSplits: 32,
    workgroups: 128,
    combineColumns: 8,
  },
} as const satisfies Record<string, Omit<DecodeAttentionVariant, "subgroups" | "workgroupMemory">>;

/**
 * Products of one row and of a few by an unquantised weight, measured on an H200 (bf16, SmolLM3-3B's shapes; few: 16 rows). Both have
 * the same invocations. One row wants many loads on their way, a few rows want little to add up at the end: few invocations a
 * weight row, many weight rows a workgroup.
 */
const PRODUCTS: readonly {
  fits: (product: ProductSize) => boolean;
  workgroup: number;
  one: Pick<GemvVariant, "outputs" | "unroll">;
  few: Pick<GemvVariant, "outputs" | "unroll">;
}[] = [
  {
    fits: ({ format }) => isQuantized(format),
    workgroup: 128,
    one: { outputs: 4, unroll: 1 },
    few: { outputs: 4, unroll: 1 },
  },
  // Long rows: 14.3 and 44 µs; 256 invocations take 13.9 and 56.
  {
    fits: ({ columns }) => columns >= 8192,
    workgroup: 128,
    one: { outputs: 2, unroll: 4 },
    few: { outputs: 8, unroll: 2 },
  },
  // Logits: 0.98 of the read.
  {
    fits: ({ rows }) => rows >= 32768,
    workgroup: 64,
    one: { outputs: 2, unroll: 2 },
    few: { outputs: 8, unroll: 2 },
  },
  // Gate and up: 24.7 and 100 µs; 128 invocations take 24.7 and 193.
  {
    fits: ({ rows }) => rows >= 8192,
    workgroup: 32,
    one: { outputs: 2, unroll: 4 },
    few: { outputs: 8, unroll: 2 },
  },
  // Queries, keys and values: 7.9 and 31 µs; 64 invocations take 11.2 and 23.
  {
    fits: ({ norm }) => norm,
    workgroup: 128,
    one: { outputs: 2, unroll: 1 },
    few: { outputs: 4, unroll: 2 },
  },
  // The output of attention: 5.9 and 14 µs; 128 invocations take 5.5 and 18.
  {
    fits: () => true,
    workgroup: 64,
    one: { outputs: 2, unroll: 4 },
    few: { outputs: 8, unroll: 1 },
  },
];

/**
 * The most rows that are a few to a GPU with subgroups: 64 rows take 28 ms on an H200 (SmolLM3-3B in bf16). As a block of f32, whose
 * tiles of so few rows leave most of its cores without work, they take some 40 ms, and on matrix units some 15.
 */
const MOST_FEW = { exact: 64, units: 32 };

export interface VariantInput {
  features: Pick<GpuFeatures, "subgroups" | "subgroupMinSize" | "subgroupMaxSize">;
  limits: Pick<GpuLimits, "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize">;
  isSoftware: boolean;
  forced?: ForcedVariants;
}

export function selectVariants({ features, limits, isSoftware, forced = {} }: VariantInput): Variants {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = limits;
  const subgroups = (forced.subgroups ?? true) && features.subgroups;
  const kind = forced.kind ?? (isSoftware ? "software" : "hardware");
  const invocations = INVOCATIONS[kind];
  const gemv = (tile: number): GemvVariant => {
    const outputs = 4;
    let workgroup = Math.min(invocations.gemv, maxComputeInvocationsPerWorkgroup);
    // Without subgroups every invocation keeps its sums (the products' and those of squares) in workgroup memory.
    while (!subgroups && (outputs + 1) * tile * 4 * workgroup > maxComputeWorkgroupStorageSize) {
      workgroup /= 2;
    }
    return { subgroups, workgroup, outputs, tile };
  };
  const plain = { one: gemv(1), few: gemv(4) };
  return {
    gemv: (rows, product) => {
      const shaped =
        kind === "hardware" && subgroups ? PRODUCTS.find(({ fits }) => fits(product)) : undefined;
      return shaped === undefined || shaped.workgroup > maxComputeInvocationsPerWorkgroup
        ? plain[rows]
        : { ...plain[rows], workgroup: shaped.workgroup, ...shaped[rows] };
    },
    fewRows: kind === "hardware" && subgroups ? MOST_FEW : { exact: FEW_ROWS, units: FEW_ROWS },
    gemm: kind === "software" ? SOFTWARE_TILING : {},
    blockAttention: forced.blockAttention,
    norm: { subgroups, workgroup: Math.min(invocations.norm, maxComputeInvocationsPerWorkgroup) },
    attention: {
      ...ATTENTION[!subgroups ? "plain" : kind === "software" ? "software" : "subgroups"],
      ...forced.attention,
      ...(subgroups && { subgroups: { least: features.subgroupMinSize, most: features.subgroupMaxSize } }),
      workgroupMemory: maxComputeWorkgroupStorageSize,
    },
  };
}
