/**
 * Activation functions of feed-forward layers, as both devices' kernels have them: silu(x) = x / (1 + exp(-x));
 * relu(x) = max(x, 0); gelu(x) = x Φ(x) (Hendrycks & Gimpel 2016); gelu_tanh is its approximation with tanh (GPT-2).
 */
export type Activation = "silu" | "relu" | "gelu" | "gelu_tanh";

/** How gpt-oss clamps a gated unit (OpenAI 2025, https://arxiv.org/abs/2508.10925); `GateOp` has the formula. Both are positive. */
export interface GateClamp {
  /** Factor of the sigmoid's argument. */
  readonly alpha: number;
  /** The largest gate, and the largest `up` of either sign. */
  readonly limit: number;
}
