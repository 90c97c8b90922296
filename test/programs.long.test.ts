/** Programs of the relatives against PyTorch; programs.test.ts has the families whose Programs differ in kind. */
import { OTHER_SETTINGS, RELATIVES } from "./support/golden-suite.ts";
import { describeProgram } from "./support/program-suite.ts";

for (const name of [...RELATIVES, ...OTHER_SETTINGS]) {
  describeProgram(name);
}
