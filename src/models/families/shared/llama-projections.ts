/** Where the projections of a decoder like Llama's lie, when a checkpoint has not each as a module of its own, row by row. */
import type { RowRange } from "../../../runtime/program.ts";
import type { ModuleSource } from "./module-builder.ts";

/** What of a decoder's configuration says where its projections lie. */
interface ProjectionConfig {
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediateSize: number;
  usesRope: readonly boolean[];
  rotaryDim?: number;
  isInterleaved?: boolean;
  fused?: readonly ("self_attn" | "mlp")[];
}

/**
 * The rows of a checkpoint's module that are a projection of a layer; undefined: its own module is, as it lies.
 *
 * @param name the layer's name
 * @param part the projection's name
 */
export function projectionSource(
  config: ProjectionConfig,
  layer: number,
  name: string,
  part: string,
): ModuleSource | undefined {
  const module = part === "gate_proj" || part === "up_proj" ? "mlp" : "self_attn";
  if (config.fused?.includes(module) === true) {
    return fusedSource(config, name, part);
  }
  const { heads, kvHeads, headDim, rotaryDim = headDim } = config;
  const count = { q_proj: heads, k_proj: kvHeads }[part];
  if (count === undefined || config.isInterleaved !== true || !config.usesRope[layer]) {
    return undefined;
  }
  return {
    module: `${name}.self_attn.${part}`,
    rows: count * headDim,
    ranges: halvedRows(count, headDim, rotaryDim),
  };
}

/**
 * The rows of heads whose first `rotaryDim` channels are turned in pairs of neighbours, in the order in which the pairs'
 * first halves come before their second ones: those are as far apart as the runtime turns them. Scores do not notice, where
 * query and key have the same order.
 */
export function halvedRows(heads: number, headDim: number, rotaryDim: number): RowRange[] {
  return Array.from({ length: heads }, (_, head) => {
    const start = head * headDim;
    const channel = (i: number): RowRange => ({ start: start + i, end: start + i + 1 });
    const pairs = Array.from({ length: rotaryDim / 2 }, (_, pair) => 2 * pair);
    const rotated = [...pairs.map(channel), ...pairs.map((first) => channel(first + 1))];
    return rotaryDim === headDim ? rotated : [...rotated, { start: start + rotaryDim, end: start + headDim }];
  }).flat();
}

/** The rows of a layer's fused modules that are one of its projections. */
function fusedSource(
  { heads, kvHeads, headDim, intermediateSize }: ProjectionConfig,
  layer: string,
  part: string,
): ModuleSource {
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const [module, sizes] =
    part === "gate_proj" || part === "up_proj"
      ? ["mlp.gate_up_proj", { gate_proj: intermediateSize, up_proj: intermediateSize }]
      : ["self_attn.qkv_proj", { q_proj: queries, k_proj: keys, v_proj: keys }];
  let rows = 0;
  const ranges: RowRange[] = [];
  for (const [name, size] of Object.entries(sizes)) {
    if (name === part) {
      ranges.push({ start: rows, end: rows + size });
    }
    rows += size;
  }
  return { module: `${layer}.${module}`, rows, ranges };
}
