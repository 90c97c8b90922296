/**
 * Softmax numerators as integers. What is drawn from a distribution must not depend on who computes it, but `exp` and
 * the order of a floating-point sum differ between devices. So the weight of a token is an integer,
 *
 *     weight(x) = round(2^31 · exp(x − max)),
 *
 * computed by u32 operations only (and two exact f32 ones), and sums of weights are exact in any order. The same
 * lines can be written in WGSL. Relative error below 2^-24, as good as f32's; below half a unit, 2^-32 of the most
 * likely token's probability, a weight is 0.
 */
import { multiplyHigh } from "./philox.ts";

/** The weight of the most likely token. */
export const MAX_WEIGHT = 2 ** 31;

/** From this distance on (32 · ln 2, rounded up) weights are 0. */
const CUTOFF = 22.1875;

const DISTANCE_BITS = 27;
/**
 * log2(e) · 2^31. The upper half of a distance in units of 2^-27 times this is the exponent of two in units of 2^-26.
 */
const LOG2_E = 0xb8aa3b29;
const FRACTION_BITS = 26;
const TABLE_BITS = 13;
const REST_BITS = FRACTION_BITS - TABLE_BITS;
/** ln(2) · 2^16. */
const LN_2 = 45426;

/** Entry i is 2^31 · 2^(−i / 2^13), rounded; all take 32 KiB. */
export const POWERS = Uint32Array.from({ length: 2 ** TABLE_BITS }, (_, i) =>
  Math.round(MAX_WEIGHT * 2 ** (-i / 2 ** TABLE_BITS)),
);

/**
 * The softmax weight of a logit.
 *
 * @param distance how far a logit is below the highest one, f32(max − x) >= 0; Infinity is allowed
 * @returns round(2^31 · exp(−distance)), an integer in 0 .. 2^31, never increasing with the distance
 */
export function softmaxWeight(distance: number): number {
  if (distance >= CUTOFF) {
    return 0;
  }
  // exp(−distance) = 2^−(whole + fraction); a fraction is a table step and a rest below 2^-13.
  const exponent = multiplyHigh((distance * 2 ** DISTANCE_BITS) >>> 0, LOG2_E);
  const whole = exponent >>> FRACTION_BITS;
  const power = POWERS[(exponent >>> REST_BITS) & (2 ** TABLE_BITS - 1)] ?? 0;
  // 2^−rest is 1 − rest · ln 2 to within 2^-28; the decrease is in units of 2^-29.
  const decrease = ((exponent & (2 ** REST_BITS - 1)) * LN_2) >>> 13;
  const weight = power - multiplyHigh(power, decrease << 3);
  if (whole === 0) {
    return weight;
  }
  return whole < 32 ? ((weight >>> (whole - 1)) + 1) >>> 1 : 0;
}

/**
 * floor(total · fraction / 2^32), exactly. With a uniform fraction it is a uniform draw from 0 .. total − 1.
 *
 * @param total integer in 0 .. 2^53 - 1 (a u32 pair on a GPU)
 * @param fraction u32, in units of 2^-32
 */
export function scaleByFraction(total: number, fraction: number): number {
  const high = Math.floor(total / 2 ** 32);
  return high * fraction + multiplyHigh(total >>> 0, fraction);
}
