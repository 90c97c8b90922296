/** A benchmark's denominators must do the work that they are timed for. */
import { describe, expect, test } from "vitest";
import { BUILDS, KernelLab } from "../../../test/support/kernels.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new KernelLab(build);

  test.each(["read_stream", "read_streams4", "read_wide"] as const)("%s reads every word once", (name) => {
    const words = 2048;
    const region = lab.take(words);
    const read = (): number => lab.kernels[name](region.address, words * 4);
    for (let i = 0; i < words; i++) region.i32[i] = Math.imul(i + 1, 0x9e3779b1);
    const all = region.i32.reduce((xor, word) => xor ^ word, 0);
    expect(read()).toBe(all);
    for (let i = 0; i < words; i += 5) {
      region.i32[i] ^= 0x1000;
      expect(read()).toBe(all ^ 0x1000);
      region.i32[i] ^= 0x1000;
    }
  });

  test("fma_peak adds up what it says", () => {
    // 12 sums of four lanes, each turns * x * y.
    expect(lab.kernels.fma_peak(1000, 0.5, 0.25)).toBe(48 * 125);
    expect(lab.kernels.fma_peak(0, 0.5, 0.25)).toBe(0);
  });
});
