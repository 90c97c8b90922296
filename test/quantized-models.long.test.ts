/** Golden models with quantised weights on the CPU; quantized-models.test.ts has those that prove every kernel. */
import { GOLDENS, QUANTIZED, RELATIVES } from "./support/golden-suite.ts";
import { describeQuantized } from "./support/quantized-suite.ts";

for (const name of [...GOLDENS, ...RELATIVES].filter((each) => !QUANTIZED.includes(each))) {
  describeQuantized(name);
}
