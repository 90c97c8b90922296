/** The residual sum. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  test.each([4, 12, 64])("adds %i columns of rows that lie apart, and leaves what is between", (columns) => {
    const random = randomSource(columns);
    const [stride, rows] = [columns + 8, 3];
    const [x, y] = [normalNumbers(rows * stride, random), normalNumbers(rows * stride, random)];
    const [a, b] = [lab.numbers(x), lab.numbers(y)];
    lab.kernels.add(a.address, b.address, rows, columns, stride * 4);
    expect(b.f32).toEqual(y.map((value, i) => (i % stride < columns ? value + x[i] : value)));
    expect(a.f32).toEqual(x);
  });
});
