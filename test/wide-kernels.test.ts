/**
 * V8 turns pairs of 128-bit operations of the wide build into 256-bit ones, but says nothing where it cannot. This reads its
 * trace: a change to a kernel or a newer V8 that loses the pairs costs half the speed and no test of numbers would notice.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { kernelBytes } from "../src/kernels/wasm-module.ts";
import { hasWideCompiler } from "../src/runtime/platform/optimizing-compile.ts";
import { temporaryDirectory } from "./support/model-files.ts";

/** How many functions V8 packed, by the number of operations that became 256-bit ones. */
function packedFunctions(): number[] {
  const file = join(temporaryDirectory(), "kernels.wasm");
  writeFileSync(file, kernelBytes("wide-256"));
  const flags = [
    "--no-liftoff",
    "--no-wasm-lazy-compilation",
    "--experimental-wasm-revectorize",
    "--trace-wasm-revectorize",
    // One function after the other, so that their lines do not mix.
    "--wasm-num-compilation-tasks=1",
  ];
  const program = `new WebAssembly.Module(require("node:fs").readFileSync(${JSON.stringify(file)}))`;
  const trace = execFileSync(process.execPath, [...flags, "--eval", program], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  const packed = new Map<string, number>();
  let name = "";
  for (const line of trace.split("\n")) {
    name = /Begin revec function (\S+)/.exec(line)?.[1] ?? name;
    const count = /Decide to vectorize, (\d+) revectorizable nodes/.exec(line)?.[1];
    packed.set(name, (packed.get(name) ?? 0) + Number(count ?? 0));
  }
  return [...packed.values()].filter((count) => count > 0);
}

/** Whether the CPU has what the pass needs; undefined where the system does not say. */
function hasAvx2(): boolean | undefined {
  return existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8").includes(" avx2 ") : undefined;
}

/**
 * Tiles of 3 to 6 rows of f32 and bf16, and of 4 to 6 rows of scores; two and three rows; one row of each format; what the
 * smaller tiles are inlined into; attention over a block, its combination; the peak. Of quantised weights, for each way to
 * multiply: tiles of one to three rows of int8, of int4 and of unpacked int4, and one row of either; what adds and unpacks tiles.
 */
const PACKED = 52;

test.skipIf(!hasWideCompiler())("every hot kernel of the wide build is packed", ({ skip }) => {
  const packed = packedFunctions();
  if (packed.length === 0 && hasAvx2() !== true) {
    skip("V8 packs nothing here: the CPU has no AVX2.");
  }
  expect(packed.length).toBeGreaterThanOrEqual(PACKED);
  // Six rows by sixteen columns: 12 accumulators of eight lanes, with what loads, converts and stores them.
  expect(packed.filter((count) => count >= 170).length).toBeGreaterThanOrEqual(4);
});
