/** Biases of attention's scores by the distance of a key, as both devices' kernels have them. */

/**
 * What is added to a head's scores, behind their scale and soft cap, for a key at position p and a row at position q. What depends
 * on the row alone changes no softmax, so it is chosen such that near keys have small numbers:
 * - "linear": slope · (p - q) (ALiBi, Press et al. 2021, https://arxiv.org/abs/2108.12409);
 * - "rounded": scale · (b(slope · b(p)) - b(slope · b(q))), where b rounds to bf16: ALiBi as transformers computes it for Falcon;
 * - "table": the vector of this name, [heads][2 reach + 1], at p - q, or the nearest distance from -reach to reach.
 */
export type ScoreBias =
  | { kind: "linear"; slopes: readonly number[] }
  | { kind: "rounded"; slopes: readonly number[]; scale: number }
  | { kind: "table"; table: string; reach: number };

/** The nearest bf16 number of a finite number of f32, ties to even. */
export function nearestBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0];
}

/** [heads], the slopes as kernels take them: f32, or of "rounded" bf16. None of a table. */
export function slopesOf(bias: ScoreBias): Float32Array {
  if (bias.kind === "table") {
    return new Float32Array();
  }
  return Float32Array.from(bias.slopes, bias.kind === "rounded" ? nearestBf16 : Math.fround);
}
