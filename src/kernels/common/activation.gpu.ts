/** Functions of common/activation.wgsl. */
export type { Activation } from "../activate/activation.ts";
