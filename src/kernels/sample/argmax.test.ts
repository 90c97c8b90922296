import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";

describe.each(BUILDS)("argmax, %s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  const argmax = (values: ArrayLike<number>): number => {
    const x = lab.numbers(values);
    return lab.kernels.argmax(x.address, values.length);
  };

  test.each([1, 2, 3, 4, 5, 15, 16, 17, 255, 257, 4097])("of %i", (count) => {
    const values = normalNumbers(count, randomSource(count));
    expect(argmax(values)).toBe(values.indexOf(Math.max(...values)));
    // The largest at any place of the vectors and of the rest.
    for (const at of [0, 1, 2, 3, count >> 1, count - 3, count - 2, count - 1]) {
      if (at < 0 || at >= count) {
        continue;
      }
      const raised = values.slice();
      raised[at] = 100;
      expect(argmax(raised)).toBe(at);
      raised[at] = NaN;
      expect(argmax(raised)).toBe(-1);
      lab.reset();
    }
  });

  test("the first of equals", () => {
    for (const [first, second] of [
      [1, 2],
      [3, 4],
      [2, 16],
      [16, 18],
    ]) {
      const values = new Float32Array(19).fill(-1);
      values[first] = values[second] = 2;
      expect(argmax(values)).toBe(first);
    }
    expect(argmax([-0, 0, -0, 0, 0])).toBe(0);
    expect(argmax(new Float32Array(7))).toBe(0);
  });

  test("infinities", () => {
    expect(argmax([-Infinity, -Infinity, -Infinity, -3e38, -Infinity])).toBe(3);
    expect(argmax([0, 1, Infinity, 3, 4, 5, Infinity])).toBe(2);
    expect(argmax(new Float32Array(6).fill(-Infinity))).toBe(0);
    expect(argmax([-Infinity, NaN, -Infinity])).toBe(-1);
  });
});
