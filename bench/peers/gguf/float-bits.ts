/** Rounds f32 numbers to the 16-bit types, to nearest, ties to even, as hardware does. */

/**
 * The bits of an f32 as bf16.
 *
 * @param bits the bits of the f32
 */
export function bf16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) {
    // NaN: what rounding adds must not carry it into infinity.
    return ((bits >>> 16) & 0xffff) | 0x40;
  }
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/**
 * The bits of an f32 as f16; what is too large is infinity, what is too small for a normal number is a subnormal one.
 *
 * @param bits the bits of the f32
 */
export function f16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return sign | 0x7e00;
  }
  // 65520 is half way between the largest f16 and what would follow it.
  if (magnitude >= 0x477ff000) {
    return sign | 0x7c00;
  }
  if (magnitude >= 0x38800000) {
    return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
  }
  // Below 2^-14 an f16 counts in steps of 2^-24. Half of the least step rounds to zero, which is even.
  if (magnitude <= 0x33000000) {
    return sign;
  }
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept);
}
