/** Tests of the comparison by which the wide build is trusted. */
import { expect, test } from "vitest";
import { BUILDS } from "../../../test/support/wasm-lab.ts";
import { compareBuilds } from "./compare-builds.ts";
import { bestKernelBuild, kernelModule } from "./kernel-builds.ts";

test("a build that rounds otherwise is told by every kernel that multiplies and adds", () => {
  const { different } = compareBuilds(kernelModule("relaxed-128"), kernelModule("baseline"));
  const expected = ["attend", "gate", "gemm", "gemv_bf16", "gemv_f16", "gemv_f32", "gemv_i8_row"];
  expect(different).toEqual(expect.arrayContaining(expected));
});

test("a build has its own bits", () => {
  const module = kernelModule("relaxed-128");
  expect(compareBuilds(module, module).different).toEqual([]);
});

test("the wide build has the bits of the 128-bit one, and the best one runs here", () => {
  if (BUILDS.includes("wide-256")) {
    expect(compareBuilds(kernelModule("relaxed-128"), kernelModule("wide-256")).different).toEqual([]);
  }
  expect(BUILDS).toContain(bestKernelBuild().build);
  expect(bestKernelBuild().notice).toBeUndefined();
});
