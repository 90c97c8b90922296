/** The bias of a linear layer. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  test.each([0, 1])("to every row, rows apart; accumulate %i", (accumulate) => {
    const random = randomSource(1);
    const [columns, stride, rows] = [12, 20, 3];
    const [bias, y] = [normalNumbers(columns, random), normalNumbers(rows * stride, random)];
    const [a, b] = [lab.numbers(bias), lab.numbers(y)];
    lab.kernels.broadcast(a.address, b.address, rows, columns, stride * 4, accumulate);
    const expected = y.map((value, i) =>
      i % stride < columns ? bias[i % stride] + (accumulate === 1 ? value : 0) : value,
    );
    expect(b.f32).toEqual(expected);
  });
});
