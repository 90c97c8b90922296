import { expect, test } from "vitest";
import { vectorValues } from "./vector-values.ts";

const bytesOf = (...halves: number[]): Uint8Array => new Uint8Array(Uint16Array.from(halves).buffer);

test("f16, subnormals, infinities and NaN included", () => {
  const values = vectorValues(
    { dtype: "F16" },
    bytesOf(0x0001, 0x83ff, 0x0400, 0x3c00, 0xc500, 0x7bff, 0x7c00, 0xfc00),
  );
  expect([...values]).toEqual([2 ** -24, -1023 * 2 ** -24, 2 ** -14, 1, -5, 65504, Infinity, -Infinity]);
  expect([...vectorValues({ dtype: "F16" }, bytesOf(0x7e00, 0x0000, 0x8000))]).toEqual([NaN, 0, -0]);
});

test("bf16 and f32", () => {
  expect([...vectorValues({ dtype: "BF16" }, bytesOf(0x3f80, 0xc0a0, 0x0001))]).toEqual([1, -5, 2 ** -133]);
  expect([...vectorValues({ dtype: "F32" }, new Uint8Array(Float32Array.of(0.5, -2).buffer))]).toEqual([
    0.5, -2,
  ]);
});
