/**
 * Activation functions of feed-forward layers, as both devices' kernels have them: silu(x) = x / (1 + exp(-x));
 * relu(x) = max(x, 0); gelu(x) = x Φ(x) (Hendrycks & Gimpel 2016); gelu_tanh is its approximation with tanh (GPT-2).
 */
export type Activation = "silu" | "relu" | "gelu" | "gelu_tanh";
