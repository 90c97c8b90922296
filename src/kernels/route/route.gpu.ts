/** The kernel that chooses a row's experts; see route.wgsl. */
import type { KernelSpec } from "../wgsl/kernel.ts";

export interface RouteShape {
  experts: number;
  /** How many of them a row has. */
  chosen: number;
  /** Whether the weights of the chosen add up to 1. */
  normalize: boolean;
}

/**
 * The kernel of routes [R, 2 · chosen] f32 from logits [R, experts] f32; one workgroup a row.
 *
 * Buffers: logits, routes.
 */
export function routeKernel({ experts, chosen, normalize }: RouteShape, workgroup: number): KernelSpec {
  return {
    name: "route",
    source: "route/route.wgsl",
    constants: { EXPERTS: experts, CHOSEN: chosen, NORMALIZE: normalize, WORKGROUP: workgroup },
    bindings: ["read", "write"],
  };
}
