/**
 * The kernel that puts keys and values into the KV cache, for programs in which their products cannot write them there.
 */
import { ELEMENTWISE_WORKGROUP } from "../common/elementwise.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

/** How the KV cache holds its numbers: as they are, or rounded to float16, two to a word; see put.wgsl. */
export type CacheFormat = "f32" | "f16";

/** Bytes of a number of the cache. */
export function cacheNumberBytes(format: CacheFormat): number {
  return format === "f16" ? 2 : 4;
}

/**
 * Writes each row's key and value to the cache, at the row's slot and position. Launched by
 * `elementwiseWorkgroups(columns, R)`.
 *
 * Buffers: key and value [R, columns] f32, keys and values [slot][context][columns] in the cache's format, rows (u32).
 *
 * @param columns numbers of a key: KV heads times head dimension
 * @param context positions of a slot
 * @param cache of "f16" the number of columns is even
 */
export function appendKernel(
  columns: number,
  context: number,
  maxRows: number,
  cache: CacheFormat,
): KernelSpec {
  return {
    name: "append",
    source: "append/append.wgsl",
    constants: {
      COLUMNS: columns,
      CONTEXT: context,
      CACHE: cache,
      WORKGROUP: ELEMENTWISE_WORKGROUP,
      MAX_ROWS: maxRows,
    },
    bindings: ["read", "read", "write", "write", "read"],
  };
}
