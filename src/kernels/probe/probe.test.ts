/** A benchmark's denominators must do the work that they are timed for. */
import { describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  test.each(["read_stream", "read_streams4", "read_wide"] as const)("%s reads every word once", (name) => {
    const words = 2048;
    const region = lab.take(words);
    const read = (): number => lab.kernels[name](region.address, words * 4);
    for (let i = 0; i < words; i++) {
      region.i32[i] = Math.imul(i + 1, 0x9e3779b1);
    }
    const all = region.i32.reduce((xor, word) => xor ^ word, 0);
    expect(read()).toBe(all);
    for (let i = 0; i < words; i += 5) {
      region.i32[i] ^= 0x1000;
      expect(read()).toBe(all ^ 0x1000);
      region.i32[i] ^= 0x1000;
    }
  });

  test("fma_peak does every turn", () => {
    // 12 sums of four lanes: with fused multiply-add x * y each turn, without it s = s * x + y (else the product,
    // always the same, would be computed once).
    const expected = (turns: number): number => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        sum = build !== "baseline" ? sum + 0.5 * 0.25 : sum * 0.5 + 0.25;
      }
      return 48 * sum;
    };
    for (const turns of [0, 1, 2, 10]) {
      expect(lab.kernels.fma_peak(turns, 0.5, 0.25)).toBe(expected(turns));
    }
  });
});
