/** What builds of the WASM kernels there are, and how they multiply integers. */

/**
 * The builds of the kernels, the best first. wide-256: relaxed SIMD whose pairs of operations V8 turns into 256-bit ones on x64
 * (the same bits as relaxed-128); relaxed-128: relaxed SIMD (fused multiply-add); baseline: for engines that lack it.
 */
export const KERNEL_BUILDS = ["wide-256", "relaxed-128", "baseline"] as const;
export type KernelBuild = (typeof KERNEL_BUILDS)[number];

/**
 * How kernels multiply integers, by the numbers that gemm_quantized knows. All give the same bits. plain: products of 16 bits, right
 * everywhere. dot16: products of 8 bits summed in pairs (one instruction of AVX2); int8 has no use for it and takes plain. vnni:
 * four at once, where the instruction takes weights as unsigned.
 */
export const DOTS = { plain: 0, vnni: 1, dot16: 2 } as const;
export type Dot = keyof typeof DOTS;
