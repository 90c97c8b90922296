/** Golden models with quantised weights on the CPU; quantized-models.test.ts has those that prove every kernel. */
import { OTHER_SETTINGS, RELATIVES } from "./support/golden-suite.ts";
import { describeQuantized } from "./support/quantized-suite.ts";

for (const name of [...RELATIVES, ...OTHER_SETTINGS]) {
  describeQuantized(name);
}
