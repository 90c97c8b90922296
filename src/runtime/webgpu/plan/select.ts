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

/** A variant, and the most rows that it is for. */
export interface GemvTile {
  variant: GemvVariant;
  mostRows: number;
}

export interface Variants {
  /**
   * How a weight is multiplied with one row, and with a few. Both deal a weight row's chunks to invocations alike where they use
   * subgroups: so a row's sums have the same bits whatever rows are beside it.
   */
  gemv: (rows: "one" | "few", product: ProductSize) => GemvVariant;
  /** The variants for a few rows, by rising numbers of rows: tiles as large as the rows need. The last is for any number. */
  gemvTiles: (product: ProductSize) => readonly GemvTile[];
  /** The most rows of a pass that are multiplied as a few faster than as a block; see `formFor`. */
  fewRows: number;
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
 * Products of one row by an unquantised weight, measured on an H200 (bf16; 128 invocations of 4 outputs are the rule). More and
 * smaller workgroups keep more loads on their way; where a norm is folded in, each has to walk over its gain too.
 */
const ONE_ROW: readonly {
  fits: (product: ProductSize) => boolean;
  variant: Pick<GemvVariant, "workgroup" | "outputs" | "unroll">;
}[] = [
  {
    fits: ({ format, norm }) => norm || isQuantized(format),
    variant: { workgroup: 128, outputs: 4, unroll: 1 },
  },
  // Long rows: 3,265 GB/s instead of 2,700.
  { fits: ({ columns }) => columns >= 8192, variant: { workgroup: 256, outputs: 2, unroll: 1 } },
  // Logits: 4,343 GB/s instead of 3,280.
  { fits: ({ rows }) => rows >= 32768, variant: { workgroup: 64, outputs: 2, unroll: 2 } },
  // Few short rows: 455 GB/s instead of 413, on a card whose clock had not risen.
  { fits: () => true, variant: { workgroup: 128, outputs: 2, unroll: 1 } },
];

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
  const select: Variants["gemv"] = (rows, product) => {
      const shaped = kind === "hardware" && subgroups ? ONE_ROW.find(({ fits }) => fits(product)) : undefined;
      const env =
        process.env[`GEMV_${product.norm ? (product.rows > 8192 ? "gate" : "qkv") : product.columns > 8192 ? "down" : product.rows > 8192 ? "logits" : "o"}`];
      if (env !== undefined && kind === "hardware") {
        const [workgroup, outputs, unroll, walk] = env.split(",").map(Number);
        return rows === "one"
          ? { ...plain.one, workgroup, outputs, unroll, ...(walk > 0 && { walk }) }
          : { ...plain.few, workgroup };
      }
      if (shaped === undefined || shaped.variant.workgroup > maxComputeInvocationsPerWorkgroup) {
        return plain[rows];
      }
      return rows === "one"
        ? { ...plain.one, ...shaped.variant }
        : { ...plain.few, workgroup: shaped.variant.workgroup };
  };
  return {
    gemv: select,
    gemvTiles: (product) => {
      const few = select("few", product);
      const env =
        process.env[`FEW_${product.norm ? (product.rows > 8192 ? "gate" : "qkv") : product.columns > 8192 ? "down" : product.rows > 8192 ? "logits" : "o"}`];
      if (env !== undefined && kind === "hardware") {
        const [outputs, tile, unroll] = env.split(",").map(Number);
        return [{ variant: { ...few, outputs, tile, unroll }, mostRows: Infinity }];
      }
      return [{ variant: few, mostRows: Infinity }];
    },
    fewRows: kind === "hardware" && subgroups ? Number(process.env.FEW_ROWS ?? 16) : FEW_ROWS,
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
