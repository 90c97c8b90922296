/** The launch of kernels with one invocation for each element (or pair of elements) of a row. */

/** Invocations of a workgroup. */
export const ELEMENTWISE_WORKGROUP = 256;

/**
 * Workgroups of an element-wise kernel.
 *
 * @param elements of a row that one invocation each computes: columns, groups of columns or pairs
 * @param rows of the pass, at most 65535, the limit of every adapter
 */
export function elementwiseWorkgroups(elements: number, rows: number): [number, number, number] {
  return [Math.ceil(elements / ELEMENTWISE_WORKGROUP), rows, 1];
}
