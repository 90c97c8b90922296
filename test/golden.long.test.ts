/** Golden models in the baseline build of the CPU's kernels; golden.test.ts has those that prove every kernel. */
import { BASELINE, describeGolden, GOLDENS } from "./support/golden-suite.ts";

for (const name of GOLDENS.filter((each) => !BASELINE.includes(each))) {
  describeGolden(name, "baseline");
}
