/** Which weights a decoded token reads. */
import { chosenExperts, FORWARD, type Name, type Program } from "./program.ts";

/**
 * What part of each matrix a decoded token reads: all of a product's; of each expert's what part of the experts is chosen, which is
 * right of all of them together. A table that is only looked up is not there.
 */
export function weightsRead(program: Program): Map<Name, number> {
  const parts = new Map<Name, number>();
  for (const { ops } of program.entries.get(FORWARD) ?? []) {
    for (const op of ops) {
      if (op.role === "linear" || op.role === "logits") {
        parts.set(op.weight, 1);
      } else if (op.role === "experts") {
        for (const name of op.weights) {
          parts.set(name, chosenExperts(program, op) / op.weights.length);
        }
      }
    }
  }
  return parts;
}
