/** Products of chosen experts on the GPU in every format, by both kinds of sums, with columns that fill whole chunks and not. */
import { describeExperts } from "../../../test/support/experts-suite.ts";
import { FORMAT_NAMES } from "../format.ts";

for (const format of FORMAT_NAMES) {
  for (const columns of [96, 37]) {
    describeExperts(format, columns, { subgroups: true, workgroup: 64, outputs: 4 });
    describeExperts(format, columns, { subgroups: false, workgroup: 16, outputs: 4 });
  }
}
