/** Which instruction multiplies integers: found by values, since engines do not tell what their CPU has. */
import {
  DOTS,
  instantiateKernels,
  type Dot,
  type KernelBuild,
  type Kernels,
} from "../../kernels/wasm-module.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { FORMATS } from "../../kernels/format.ts";
import { kernelModule } from "./kernel-builds.ts";

const PAGE = 65536;
const X = PAGE;
const A = X + 4096;
const SOURCE = A + 4096;
const W = SOURCE + 16_384;
const Y = W + 16_384;
const SCRATCH = Y + 4096;
const COLUMNS = 64;

const known = new Map<KernelBuild, Dot>();

/**
 * The fastest way to multiply integers that gives the right sums here, one of DOTS. The instruction that sums four products
 * (vnni) saturates in between on CPUs without it, and on some takes weights as signed: the largest integers tell.
 */
export function bestIntegerDot(build: KernelBuild): Dot {
  const found = known.get(build) ?? findDot(build);
  known.set(build, found);
  return found;
}

/**
 * Checks a way to multiply that somebody asked for.
 *
 * @throws ModelComposeError "unsupported" for one that the build has not, or that is wrong on this CPU
 */
export function requireDot(build: KernelBuild, dot: Dot): void {
  const best = bestIntegerDot(build);
  const runs = build === "baseline" ? dot === "plain" : dot !== "vnni" || best === "vnni";
  if (runs) {
    return;
  }
  throw new ModelComposeError(
    "unsupported",
    `The kernel build ${build} does not multiply integers by "${dot}" here (${process.platform} ${process.arch}); the best ` +
      `that it does right is "${best}".`,
    { remedy: `Leave it out, or use ${build}+${best}.`, parameter: "kernelBuild" },
  );
}

function findDot(build: KernelBuild): Dot {
  if (build === "baseline") {
    return "plain";
  }
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const kernels = instantiateKernels(kernelModule(build), memory);
  const f32 = new Float32Array(memory.buffer);
  return isRight(kernels, f32, DOTS.vnni) ? "vnni" : "dot16";
}

/** Whether products of the largest int8 integers, of both signs, are those of DOTS.plain. */
function isRight(kernels: Kernels, f32: Float32Array, dot: number): boolean {
  const { code } = FORMATS.int8;
  // Rows of largest weights, of least ones, and of both in turn.
  for (let i = 0; i < 16 * COLUMNS; i++) {
    const kind = Math.floor(i / COLUMNS) % 3;
    f32[SOURCE / 4 + i] = kind === 0 || (kind === 2 && i % 2 === 0) ? 1 : -1;
  }
  kernels.quantize_panel(SOURCE, COLUMNS * 4, COLUMNS, 16, W, 0, 1, FORMATS.f32.code, code, SCRATCH);
  return [1, -1].every((sign) => {
    for (let c = 0; c < COLUMNS; c++) {
      f32[X / 4 + c] = c % 5 === 4 ? -sign : sign;
    }
    kernels.quantize_rows(X, COLUMNS * 4, 1, COLUMNS, A);
    const [right, tried] = [DOTS.plain, dot].map((way) => {
      kernels.gemm_quantized(A, 1, W, 1, 0, 1, Y, 64, COLUMNS, 0, SCRATCH, code, way);
      return f32.slice(Y / 4, Y / 4 + 16);
    });
    return right.every((value, i) => value === tried[i]);
  });
}
