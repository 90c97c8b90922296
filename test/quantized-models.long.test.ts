/** All golden models with quantised weights on the CPU; quantized-models.test.ts has those that prove every kernel. */
import { GOLDENS, OTHER_SETTINGS, RELATIVES } from "./support/golden-suite.ts";
import { describeQuantized } from "./support/quantized-suite.ts";

for (const name of [...GOLDENS, ...RELATIVES, ...OTHER_SETTINGS]) {
  for (const quantization of ["int8", "int4"] as const) {
    describeQuantized(name, quantization, [1, 2, 3]);
  }
}
