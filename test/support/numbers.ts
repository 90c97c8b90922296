/** Plain, slow, f64 arithmetic and number formats: what kernels and models are compared with. */

import type { StoredFormat } from "../../src/kernels/format.ts";

/** Unit roundoff of f32: the largest relative error of one correctly rounded operation. */
export const UNIT_ROUNDOFF = 2 ** -24;

/** Numbers in [0, 1) by Mulberry32: test data must be the same everywhere. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normally distributed f32 numbers (Box & Muller 1958). */
export function normalNumbers(count: number, random: () => number, deviation = 1): Float32Array {
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return deviation * radius * Math.cos(2 * Math.PI * random());
  });
}

export type Format = StoredFormat;

/** One word, as a number and as its bits. */
const word = new Float32Array(1);
const wordBits = new Uint32Array(word.buffer);

/** The bits of a number as bf16, the low half of its f32 cut off. */
export function bf16Bits(value: number): number {
  word[0] = value;
  return wordBits[0] >>> 16;
}

export function bf16Value(bits: number): number {
  wordBits[0] = bits << 16;
  return word[0];
}

/** The number of IEEE 754 binary16 bits, from the definition of the format. */
export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) {
    return fraction === 0 ? sign * Infinity : NaN;
  }
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Weights as a checkpoint stores them, and what they mean. */
export interface StoredMatrix {
  format: Format;
  rows: number;
  columns: number;
  /** Bytes of the elements, row-major. */
  bytes: Uint8Array;
  /** Scales [rows], where the format has a scale a row. */
  scales?: Float32Array;
  /** The values that the bytes mean, [rows * columns]. */
  values: Float64Array;
}

/**
 * A matrix of numbers around 1 (or, `edges`, one in four of them from the edges of the format: zeros of both signs,
 * subnormals, the smallest normal and the largest number).
 */
export function randomMatrix(
  format: Format,
  rows: number,
  columns: number,
  random: () => number,
  edges = false,
): StoredMatrix {
  const count = rows * columns;
  if (format === "f32") {
    const values = normalNumbers(count, random);
    return { format, rows, columns, bytes: new Uint8Array(values.buffer), values: Float64Array.from(values) };
  }
  if (format === "i8-row") {
    const elements = Int8Array.from({ length: count }, () => Math.floor(random() * 255) - 127);
    // The scales have so few bits that their products with elements are f32 numbers: the matrix's values are exact.
    const scales = Float32Array.from(
      { length: rows },
      () => Math.floor((0.5 + random()) * 2 ** 12) / 2 ** 20,
    );
    const values = Float64Array.from(elements, (q, i) => q * scales[Math.floor(i / columns)]);
    return { format, rows, columns, bytes: new Uint8Array(elements.buffer), scales, values };
  }
  const special =
    format === "f16"
      ? [0, 0x8000, 1, 0x8001, 0x3ff, 0x83ff, 0x400, 0x8400, 0x7bff, 0xfbff]
      : [0, 0x8000, 0x80, 0x8080, 0x4780, 0xc780];
  const ordinary = (): number =>
    format === "bf16"
      ? bf16Bits(2 * random() - 1)
      : (Math.floor(random() * 2) << 15) |
        ((10 + Math.floor(random() * 6)) << 10) |
        Math.floor(random() * 1024);
  const bits = Uint16Array.from({ length: count }, () =>
    edges && random() < 0.25 ? special[Math.floor(random() * special.length)] : ordinary(),
  );
  const values = Float64Array.from(bits, format === "f16" ? f16Value : bf16Value);
  return { format, rows, columns, bytes: new Uint8Array(bits.buffer), values };
}

/** x [rows of x, columns] times the transpose of a matrix [rows, columns], in f64, with the norms that bound errors. */
export function product(
  x: ArrayLike<number>,
  matrix: Pick<StoredMatrix, "rows" | "columns" | "values">,
): { values: Float64Array; bound: Float64Array } {
  const { rows, columns, values: w } = matrix;
  const count = x.length / columns;
  const values = new Float64Array(count * rows);
  const bound = new Float64Array(count * rows);
  for (let r = 0; r < count; r++) {
    for (let n = 0; n < rows; n++) {
      let [sum, xx, ww] = [0, 0, 0];
      for (let k = 0; k < columns; k++) {
        const [a, b] = [x[r * columns + k], w[n * columns + k]];
        sum += a * b;
        xx += a * a;
        ww += b * b;
      }
      values[r * rows + n] = sum;
      bound[r * rows + n] = Math.sqrt(columns * xx * ww) * UNIT_ROUNDOFF;
    }
  }
  return { values, bound };
}

/**
 * The largest error as a fraction of what is allowed there; > 1 (or NaN, counted as infinite) is a failure. The text
 * says where it is.
 */
export function worstError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  allowed: (index: number) => number,
): { ratio: number; text: string } {
  if (actual.length !== expected.length) {
    return { ratio: Infinity, text: `${actual.length} numbers; expected ${expected.length}` };
  }
  let [ratio, at] = [0, -1];
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    // An error of 0 is right where 0 is allowed; NaN never is.
    const share = error === 0 ? 0 : Number.isNaN(error) ? Infinity : error / allowed(i);
    if (share > ratio) {
      [ratio, at] = [share, i];
    }
  }
  const text =
    at < 0
      ? "exact"
      : `worst error is ${(100 * ratio).toFixed(1)} % of the allowed: at ${at} found ${actual[at]}, ` +
        `expected ${expected[at]} within ${allowed(at)}`;
  return { ratio, text };
}

/** The f16 number nearest to a value, ties to the even one; what is finite beyond ±65504 becomes that. */
export function nearestF16(value: number): number {
  if (!Number.isFinite(value) || value === 0) {
    return value;
  }
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
  const steps = value / step;
  const below = Math.floor(steps);
  const isDown = steps - below < 0.5 || (steps - below === 0.5 && below % 2 === 0);
  return Math.max(-65504, Math.min(65504, (isDown ? below : below + 1) * step));
}

/** The bits of the f16 nearest to each number, as `nearestF16`, as they lie in memory. */
export function halfWords(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, (value) => {
    const half = nearestF16(value);
    const magnitude = Math.abs(half);
    const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
    if (Number.isNaN(magnitude)) {
      return 0x7e00;
    }
    if (magnitude === Infinity) {
      return sign | 0x7c00;
    }
    const exponent = Math.floor(Math.log2(magnitude));
    return magnitude < 2 ** -14
      ? sign | (magnitude * 2 ** 24)
      : sign | (((exponent + 15) << 10) + (magnitude / 2 ** exponent - 1) * 1024);
  });
}

/** The number that the bits of an f16 stand for. */
export function halfValue(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, (bits & 1023) / 1024];
  if (exponent === 31) {
    return fraction === 0 ? sign * Infinity : NaN;
  }
  return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
}
