/** Counts how much arithmetic a prefill is. */
import type { Program } from "../../src/runtime/program.ts";
import { uniformHeads } from "../../src/runtime/state.ts";

/**
 * Floating-point operations that a prefill of `tokens` tokens from position 0 needs, a multiply-add counted as two:
 *
 * - linear [m, k]: 2 m k a token;
 * - causal attention: a query at position t sees t + 1 positions and spends 2 headDim on the score and 2 headDim on
 *   the value of each, so 4 × heads × headDim × T (T + 1) / 2 for all T tokens;
 * - the LM head: once, for the last token.
 *
 * Norms, rotations, softmax and gates are left out, as usual (Kaplan et al. 2020, table 1): under 1 %.
 */
export function prefillFlops(program: Program, tokens: number): number {
  const visible = (tokens * (tokens + 1)) / 2;
  const matrix = (name: string): number => {
    const spec = program.matrices.get(name);
    if (spec === undefined) {
      throw new Error(`Matrix ${name} is not declared.`);
    }
    return spec.rows * spec.columns;
  };
  const { headDim } = uniformHeads(program);
  let flops = 0;
  for (const group of program.entries.get("forward") ?? []) {
    for (const op of group.ops) {
      if (op.role === "linear") {
        flops += 2 * matrix(op.weight) * tokens;
      } else if (op.role === "logits") {
        flops += 2 * matrix(op.weight);
      } else if (op.role === "attention") {
        flops += 4 * op.heads * headDim * visible;
      }
    }
  }
  return flops;
}
