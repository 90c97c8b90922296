/** Golden models in the baseline build of the CPU's kernels, and relatives in both; golden.test.ts has those that prove every kernel. */
import { bestKernelBuild } from "../src/runtime/wasm/kernel-builds.ts";
import { BASELINE, describeGolden, GOLDENS, OTHER_SETTINGS, RELATIVES } from "./support/golden-suite.ts";

for (const name of GOLDENS.filter((each) => !BASELINE.includes(each))) {
  describeGolden(name, "baseline");
}
for (const name of [...RELATIVES, ...OTHER_SETTINGS]) {
  describeGolden(name, "baseline");
  describeGolden(name, bestKernelBuild().build);
}
