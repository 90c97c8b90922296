/** Conversions between the formats of checkpoints, against the formats' definitions. */
import { describe, expect, test } from "vitest";
import { bf16Value, f16Value, normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { FORMATS } from "../format.ts";

const ALL = Uint16Array.from({ length: 65_536 }, (_, i) => i);

/** The bits of the number of a 16-bit format that is nearest to a value, ties to the even one; sorted values by bits. */
function nearest(value: number, valueOf: (bits: number) => number, most: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  // Numbers of one sign have the order of their bits.
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    [low, high] = valueOf(middle) <= size ? [middle, high] : [low, middle];
  }
  const [below, above] = [size - valueOf(low), valueOf(high) - size];
  return sign | (below < above || (below === above && low % 2 === 0) ? low : high);
}

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  function convert(
    from: ArrayBufferView,
    count: number,
    source: keyof typeof FORMATS,
    target: keyof typeof FORMATS,
  ) {
    lab.reset();
    const input = lab.take(Math.ceil(from.byteLength / 4));
    input.u8.set(new Uint8Array(from.buffer, from.byteOffset, from.byteLength));
    const out = lab.take(count);
    const fits = lab.kernels.convert(
      input.address,
      count,
      FORMATS[source].code,
      FORMATS[target].code,
      out.address,
    );
    lab.checkGuards();
    return { fits: fits === 1, f32: out.f32, u16: new Uint16Array(out.u8.buffer, out.address, count) };
  }

  test.each([
    ["f16", f16Value],
    ["bf16", bf16Value],
  ] as const)("every %s to f32 and back", (format, valueOf) => {
    const { f32 } = convert(ALL, ALL.length, format, "f32");
    ALL.forEach((bits) => {
      expect(Object.is(f32[bits], valueOf(bits)), `bits ${bits.toString(16)}`).toBe(true);
    });
    const { u16, fits } = convert(f32.slice(), ALL.length, "f32", format);
    expect(fits).toBe(true);
    ALL.forEach((bits) => {
      if (!Number.isNaN(valueOf(bits))) {
        expect(u16[bits]).toBe(bits);
      } else {
        expect(valueOf(u16[bits])).toBeNaN();
      }
    });
  });

  test("f32 to the nearest, ties to even", () => {
    const random = randomSource(4);
    const values = Float32Array.from([
      ...normalNumbers(2000, random),
      ...normalNumbers(2000, random, 1e-5),
      ...normalNumbers(500, random, 1e-8),
      ...[
        0,
        -0,
        2 ** -25,
        3 * 2 ** -25,
        2 ** -26,
        1 + 2 ** -11,
        1 + 3 * 2 ** -11,
        65_504,
        65_519.99,
        -65_519.99,
      ],
      ...[1 + 2 ** -9, 1 + 3 * 2 ** -9, 2047.5, 2 ** -14 - 2 ** -26],
    ]);
    const half = convert(values, values.length, "f32", "f16");
    const brain = convert(values, values.length, "f32", "bf16").u16.slice();
    expect(half.fits).toBe(true);
    const halves = convert(values, values.length, "f32", "f16").u16;
    values.forEach((value, i) => {
      expect(halves[i], `${value} as f16`).toBe(nearest(value, f16Value, 0x7bff));
      expect(brain[i], `${value} as bf16`).toBe(nearest(value, bf16Value, 0x7f7f));
    });
  });

  test("what f16 cannot hold is told", () => {
    for (const [value, fits] of [
      [65_520, false],
      [-1e30, false],
      [65_519, true],
      [Infinity, true],
      [NaN, true],
    ] as const) {
      expect(convert(Float32Array.of(1, value), 2, "f32", "f16").fits, `${value}`).toBe(fits);
      expect(convert(Float32Array.of(1, value), 2, "f32", "bf16").fits).toBe(true);
    }
    const bits = Uint16Array.of(0x4780, 0);
    expect(bf16Value(0x4780)).toBe(65_536);
    expect(convert(bits, 1, "bf16", "f16").fits).toBe(false);
  });
});
