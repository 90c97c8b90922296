/** Names of builds of the CPU's kernels, with the instruction by which they multiply integers: "wide-256", "relaxed-128+dot16". */
import { KERNEL_BUILDS, type Dot, type KernelBuild } from "../kernels/kernel-names.ts";

export interface KernelChoice {
  readonly kernelBuild: KernelBuild;
  /** Undefined: the best that is right here. */
  readonly integerDot: Dot | undefined;
}

/** What `kernelChoice` takes, for messages. */
export const KERNEL_CHOICES = `${KERNEL_BUILDS.join(", ")}, the first two also with +vnni or +dot16`;

/** Reads a name; undefined where there is no such build. */
export function kernelChoice(text: string): KernelChoice | undefined {
  const [name, dot, ...others] = text.split("+");
  const kernelBuild = KERNEL_BUILDS.find((known) => known === name);
  const integerDot = (["vnni", "dot16"] as const).find((known) => known === dot);
  const isRight = dot === undefined || (integerDot !== undefined && kernelBuild !== "baseline");
  return kernelBuild === undefined || others.length > 0 || !isRight ? undefined : { kernelBuild, integerDot };
}
