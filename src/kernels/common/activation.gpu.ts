/** Functions of common/activation.wgsl. */
export type Activation = "silu" | "relu" | "gelu" | "gelu_tanh";
