/** Golden models with quantised weights on the CPU; quantized-models.test.ts has those that prove every kernel. */
import { GOLDENS, OTHER_SETTINGS, QUANTIZED, RELATIVES } from "./support/golden-suite.ts";
import { describeQuantized } from "./support/quantized-suite.ts";

const ALL = [...GOLDENS, ...RELATIVES, ...OTHER_SETTINGS];
for (const name of ALL.filter((each) => !QUANTIZED.includes(each))) {
  describeQuantized(name);
}
