/** What a WGSL kernel is to whoever runs it. */
import { wgsl } from "../generated/wgsl.ts";
import { preprocess, type ShaderConstants } from "./preprocess.ts";

/** What a kernel does with a binding. "read" and "write" are storage buffers (a written one may be read too). */
export type BindingKind = "read" | "write" | "uniform";

/** A variant of a kernel. Equal variants share a pipeline. */
export interface KernelSpec {
  /** Name for profiles and error messages, such as "gemv qkv". */
  name: string;
  /** Path of the WGSL file, from src/kernels. */
  source: string;
  constants: ShaderConstants;
  /** The bindings of group 0, in order of their numbers. */
  bindings: readonly BindingKind[];
}

/** A key of a variant, the same for equal ones. */
export function kernelKey({ source, constants }: KernelSpec): string {
  return `${source} ${JSON.stringify(Object.entries(constants).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}

/** The complete WGSL of a variant. Its entry point is `main`. */
export function shaderCode({ source, constants }: KernelSpec): string {
  return preprocess(source, constants, (path) => wgsl[path]);
}
