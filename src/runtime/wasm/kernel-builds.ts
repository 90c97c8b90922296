/**
 * The kernels as compiled modules: which build this process runs, chosen and compiled once. It happens on the main thread
 * before workers start, because V8's flags are the whole process's.
 */
import { KERNEL_BUILDS, kernelBytes, type KernelBuild } from "../../kernels/wasm-module.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { compileOptimized, hasWideCompiler } from "../platform/optimizing-compile.ts";
import { compareBuilds } from "./compare-builds.ts";

const modules = new Map<KernelBuild, WebAssembly.Module>();

/**
 * The compiled module of a build.
 *
 * @throws ModelComposeError "unsupported" where this engine does not run it
 */
export function kernelModule(build: KernelBuild): WebAssembly.Module {
  const known = modules.get(build);
  if (known !== undefined) {
    return known;
  }
  const bytes = kernelBytes(build);
  const wide = build === "wide-256";
  if ((wide && !hasWideCompiler()) || !WebAssembly.validate(bytes)) {
    const others = KERNEL_BUILDS.filter((other) => other !== build && isSupported(other));
    throw new ModelComposeError(
      "unsupported",
      `The kernel build ${build} does not run here (${process.release.name} ${process.version}, ${process.platform} ` +
        `${process.arch}); found: ${others.length > 0 ? others.join(", ") : "none that runs"}.`,
      {
        remedy: others.length > 0 ? `Use ${others[0]}.` : "Use Node 22.12 or newer.",
        parameter: "kernelBuild",
      },
    );
  }
  const module = compileOptimized(bytes, { wide });
  modules.set(build, module);
  return module;
}

function isSupported(build: KernelBuild): boolean {
  return (build !== "wide-256" || hasWideCompiler()) && WebAssembly.validate(kernelBytes(build));
}

/** A build, and why it is not a better one, where that is a surprise. */
export interface ChosenBuild {
  readonly build: KernelBuild;
  readonly notice?: string;
}

let chosen: ChosenBuild | undefined;

/**
 * The best build that this engine runs. The wide one is taken only where it gives the bits of the 128-bit one in every hot
 * kernel and V8 did make it faster (which it does not on a CPU without AVX2); a trial of some milliseconds, once a process.
 *
 * @throws ModelComposeError "unsupported" for an engine that runs none
 */
export function bestKernelBuild(): ChosenBuild {
  chosen ??= choose();
  return chosen;
}

function choose(): ChosenBuild {
  if (!isSupported("relaxed-128")) {
    kernelModule("baseline");
    return { build: "baseline" };
  }
  if (!isSupported("wide-256")) {
    return { build: "relaxed-128" };
  }
  const { different, speedup } = compareBuilds(kernelModule("relaxed-128"), kernelModule("wide-256"));
  if (different.length > 0) {
    return {
      build: "relaxed-128",
      notice:
        `The 256-bit kernels are not used: ${different.join(", ")} gave other numbers than the 128-bit kernels on this ` +
        `machine (${process.release.name} ${process.version}).`,
    };
  }
  return { build: speedup >= LEAST_SPEEDUP ? "wide-256" : "relaxed-128" };
}

/** Packed code is at least twice as fast in a register tile, code that was not packed is slower than the 128-bit build's. */
const LEAST_SPEEDUP = 1.3;
