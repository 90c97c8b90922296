/**
 * The kernel that puts keys and values into the KV cache, for programs in which their products cannot write them there.
 */
import { ELEMENTWISE_WORKGROUP } from "../common/elementwise.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

/**
 * Writes each row's key and value to the cache, at the row's slot and position. Launched by
 * `elementwiseWorkgroups(columns, R)`.
 *
 * Buffers: key and value [R, columns] f32, keys and values [slot][context][columns] f32, rows (u32).
 *
 * @param columns numbers of a key: KV heads times head dimension
 * @param context positions of a slot
 */
export function appendKernel(columns: number, context: number, maxRows: number): KernelSpec {
  return {
    name: "append",
    source: "append/append.wgsl",
    constants: { COLUMNS: columns, CONTEXT: context, WORKGROUP: ELEMENTWISE_WORKGROUP, MAX_ROWS: maxRows },
    bindings: ["read", "read", "write", "write", "read"],
  };
}
