/** Products of chosen experts on the GPU, and how lines are gathered; the long tests have all formats. */
import { describe } from "vitest";
import { describeExperts, describeGathering } from "../../../test/support/experts-suite.ts";

describe("gathering", describeGathering);
describeExperts("bf16", 96, { subgroups: true, workgroup: 64, outputs: 4 });
describeExperts("int4", 37, { subgroups: false, workgroup: 16, outputs: 4 });
