/** How many rows one pass has at most. */
import type { Program } from "../../program.ts";
import type { GpuDescription, GpuLimits } from "./gpu.ts";
import { expertBuffers } from "./lower-experts.ts";
import { wideColumns } from "./lower.ts";
import type { GpuWeightPlan } from "./plan.ts";

/**
 * The most rows of one pass. A pass reads the weights once, fills the matrix units the better the more rows it has, and ends in a
 * wait; the cost is memory for activations: 290 MB for SmolLM3-3B's 2,048 rows. An H100 reads a prompt of 4,096 tokens at 7,010
 * tokens/s in passes of 512 rows with its matrix units, at 11,380 in passes of 2,048 and at 11,800 in one.
 */
const MOST_ROWS = { hardware: 2048, software: 512 };
/** The least that is taken where bindings are small. */
const LEAST_ROWS = 64;

/**
 * Rows of one pass: no more than there are positions, nor than a binding holds of the widest activations; as many as there are
 * positions where an encoder sees its input whole.
 *
 * @param given what a caller asks for instead
 */
export function rowsOfPass(
  program: Program,
  {
    limits,
    summary,
  }: Pick<GpuDescription, "summary"> & {
    limits: Pick<GpuLimits, "maxStorageBufferBindingSize" | "maxBufferSize">;
  },
  { stages }: Pick<GpuWeightPlan, "stages">,
  { contextLength, given }: { contextLength: number; given?: number },
): number {
  if (program.architecture === "seq2seq") {
    return contextLength;
  }
  let rows = given ?? MOST_ROWS[summary.isSoftware ? "software" : "hardware"];
  const allStages = [...stages.values()].flat();
  const ofExperts = [...expertBuffers(allStages, { program, maxRows: 1 }).values()].map((bytes) => bytes / 4);
  const widest = Math.max(...program.buffers.values(), wideColumns(program, allStages), ...ofExperts);
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  while (given === undefined && rows > LEAST_ROWS && rows * widest * 4 > most) {
    rows /= 2;
  }
  return Math.max(1, Math.min(rows, contextLength));
}
