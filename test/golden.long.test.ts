/**
 * Golden models in the baseline build of the CPU's kernels, and all in both, each prompt with every number of threads; golden.test.ts
 * has those that prove every kernel.
 */
import { bestKernelBuild } from "../src/runtime/wasm/kernel-builds.ts";
import { describeGolden, GOLDENS, OTHER_SETTINGS, RELATIVES } from "./support/golden-suite.ts";

for (const name of [...GOLDENS, ...RELATIVES, ...OTHER_SETTINGS]) {
  describeGolden(name, "baseline", [1, 2, 3], "everywhere");
  describeGolden(name, bestKernelBuild().build, [1, 2, 3], "everywhere");
}
