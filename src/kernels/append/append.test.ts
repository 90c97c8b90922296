/**
 * Tests of keys and values in the blocks of the KV cache: K as [4 panels][depth][16], V as [depth / 16 panels][64][16].
 */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { f16Value, nearestF16, normalNumbers, randomSource } from "../../../test/support/numbers.ts";
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
    lab.kernels.append(k.address, v.address, kvHeads, headDim, depth, block.address, offset, 0);
    expect(block.f32).toEqual(expected);
  });

  /** What is at every place of a block of f16 after `values` were keys of one KV head at position 0. */
  function heldAsHalf(values: readonly number[]): number[] {
    const depth = Math.ceil(values.length / 16) * 16;
    const [k, v] = [lab.numbers(values), lab.take(values.length)];
    const block = lab.take(KV_BLOCK * depth);
    lab.kernels.append(k.address, v.address, 1, values.length, depth, block.address, 0, 1);
    const bits = new Uint16Array(block.u8.buffer, block.address, 2 * KV_BLOCK * depth);
    return values.map((_, d) => f16Value(bits[d * 16]));
  }

  test("f16: rounded to nearest, ties to even; beyond its range the largest; what is not finite shows", () => {
    const random = randomSource(3);
    const numbers = [
      ...normalNumbers(200, random),
      ...normalNumbers(50, random, 1e-6),
      ...normalNumbers(50, random, 3e4),
    ];
    const ties = [1 + 2 ** -11, 1 + 3 * 2 ** -11, -(1 + 2 ** -11), 2 ** -25, 3 * 2 ** -25, 2049, 2051];
    expect(heldAsHalf(numbers)).toEqual(numbers.map(nearestF16));
    expect(heldAsHalf(ties)).toEqual([1, 1 + 2 ** -9, -1, 0, 2 ** -23, 2048, 2052]);
    expect(heldAsHalf([65504, 65519, 65520, 1e30, -65520, -3e38])).toEqual([
      65504, 65504, 65504, 65504, -65504, -65504,
    ]);
    expect(heldAsHalf([Infinity, -Infinity, NaN])).toEqual([Infinity, -Infinity, NaN]);
  });

  test.each([
    [1, 8, 0],
    [2, 12, 63],
    [3, 20, 17],
  ])("f16: %i KV heads of %i at offset %i of a block, and nothing else", (kvHeads, headDim, offset) => {
    const random = randomSource(headDim);
    const depth = Math.ceil(headDim / 16) * 16;
    const [key, value] = [normalNumbers(kvHeads * headDim, random), normalNumbers(kvHeads * headDim, random)];
    const block = lab.take(kvHeads * KV_BLOCK * depth, UNTOUCHED);
    const bits = new Uint16Array(block.u8.buffer, block.address, kvHeads * 2 * KV_BLOCK * depth);
    const found = (): number[] => Array.from(bits, f16Value);
    const expected = found();
    for (let h = 0; h < kvHeads; h++) {
      const keys = h * 2 * KV_BLOCK * depth;
      const values = keys + KV_BLOCK * depth;
      for (let d = 0; d < headDim; d++) {
        expected[keys + Math.floor(offset / 16) * depth * 16 + d * 16 + (offset % 16)] = nearestF16(
          key[h * headDim + d],
        );
        expected[values + (Math.floor(d / 16) * KV_BLOCK + offset) * 16 + (d % 16)] = nearestF16(
          value[h * headDim + d],
        );
      }
    }
    const [k, v] = [lab.numbers(key), lab.numbers(value)];
    lab.kernels.append(k.address, v.address, kvHeads, headDim, depth, block.address, offset, 1);
    expect(found()).toEqual(expected);
  });

  test("every f16 number widens to itself", () => {
    const halves = lab.take(32_768);
    new Uint16Array(halves.u8.buffer, halves.address, 65_536).forEach((_, i, bits) => (bits[i] = i));
    const out = lab.take(65_536);
    // 16 at a time too: what is not finite is mended only where it is.
    for (const count of [65_536, 16]) {
      out.f32.fill(7);
      for (let from = 0; from < 65_536; from += count) {
        lab.kernels.widen_half(halves.address + from * 2, count, out.address + from * 4);
      }
      const wrong = out.f32.findIndex((value, i) => !Object.is(value, f16Value(i)));
      expect(wrong).toBe(-1);
    }
  });
});
