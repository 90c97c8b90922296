/**
 * Tests of keys and values in the blocks of the KV cache: K as [4 panels][depth][16], V as [depth / 16 panels][64][16].
 */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import { KV_BLOCK } from "../../runtime/wasm/plan.ts";

const UNTOUCHED = 7;

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  test.each([
    [1, 8, 0],
    [2, 12, 63],
    [3, 20, 17],
  ])("%i KV heads of %i at offset %i of a block, and nothing else", (kvHeads, headDim, offset) => {
    const random = randomSource(headDim);
    const depth = Math.ceil(headDim / 16) * 16;
    const [key, value] = [normalNumbers(kvHeads * headDim, random), normalNumbers(kvHeads * headDim, random)];
    const block = lab.take(kvHeads * 2 * KV_BLOCK * depth, UNTOUCHED);
    const expected = block.f32.slice();
    for (let h = 0; h < kvHeads; h++) {
      const keys = h * 2 * KV_BLOCK * depth;
      const values = keys + KV_BLOCK * depth;
      for (let d = 0; d < headDim; d++) {
        expected[keys + Math.floor(offset / 16) * depth * 16 + d * 16 + (offset % 16)] = key[h * headDim + d];
        expected[values + (Math.floor(d / 16) * KV_BLOCK + offset) * 16 + (d % 16)] = value[h * headDim + d];
      }
    }
    const [k, v] = [lab.numbers(key), lab.numbers(value)];
    lab.kernels.append(k.address, v.address, kvHeads, headDim, depth, block.address, offset);
    expect(block.f32).toEqual(expected);
  });
});
