/** Where query, key and value lie in a module that has them group by group, as Megatron-LM writes them. */
import type { RowRange } from "../../../runtime/program.ts";
import type { ModuleSource } from "./module-builder.ts";

interface Heads {
  heads: number;
  /** Number of groups; it divides `heads`. */
  kvHeads: number;
  headDim: number;
}

/**
 * The rows of a fused projection that are one of its parts. A group is the query heads that share a key head, one behind the
 * other, their key head and their value head: with as many key heads as query heads three rows of heads each, with one all
 * queries, the key, the value.
 */
export function groupedSource(
  module: string,
  part: "query" | "key" | "value",
  { heads, kvHeads, headDim }: Heads,
): ModuleSource {
  const queries = heads / kvHeads;
  const [first, count] = { query: [0, queries], key: [queries, 1], value: [queries + 1, 1] }[part];
  const ranges = Array.from({ length: kvHeads }, (_, group): RowRange => {
    const start = (group * (queries + 2) + first) * headDim;
    return { start, end: start + count * headDim };
  });
  return { module, rows: kvHeads * (queries + 2) * headDim, ranges };
}
