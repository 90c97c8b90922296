// IEEE 754 binary32 on bit patterns, by u32 operations: round to nearest even, with subnormals, infinities and NaN.
//
// Every device must choose the same token, and WGSL's own f32 operations do not promise the same bits: a quotient may
// be 2.5 ULP off, the direction of rounding is open, subnormals may be flushed, and NaN and infinity assumed away
// (WGSL, "Floating Point Evaluation"). None is used here.
#include "sample/integers.wgsl"

const ONE = 0x3f800000u;
const INFINITY = 0x7f800000u;

// Keys are in the order of the numbers: -Infinity < … < 0 = -0 < … < +Infinity < NaN. No number has the key 0.
const NO_KEY = 0u;
const MINUS_INFINITY_KEY = 0x007fffffu;
const INFINITY_KEY = 0xff800000u;
const NAN_KEY = 0xffffffffu;

fn keyOf(value: u32) -> u32 {
  let magnitude = value & 0x7fffffffu;
  if (magnitude > INFINITY) { return NAN_KEY; }
  if (magnitude == 0u) { return 0x80000000u; }
  return select(value | 0x80000000u, ~value, value >= 0x80000000u);
}

fn valueOf(key: u32) -> u32 { return select(~key, key & 0x7fffffffu, key >= 0x80000000u); }

// A positive number as significand · 2^(exponent - 150), the significand in [2^23, 2^24).
struct Unpacked {
  exponent: i32,
  significand: u32,
}

fn unpack(magnitude: u32) -> Unpacked {
  let exponent = i32(magnitude >> 23u);
  let fraction = magnitude & 0x7fffffu;
  if (exponent > 0) { return Unpacked(exponent, fraction | 0x800000u); }
  let shift = countLeadingZeros(fraction) - 8u;
  return Unpacked(1 - i32(shift), fraction << shift);
}

// Shifts right; the lowest bit is also set when any bit was lost.
fn shiftSticky(value: u32, shift: u32) -> u32 {
  if (shift > 31u) { return u32(value != 0u); }
  let kept = value >> shift;
  return kept | u32(kept << shift != value);
}

// Rounds significand · 2^(exponent - 152). The significand is in [2^25, 2^26): two bits more than f32 has; the lower
// is sticky.
fn pack(exponent: i32, significand: u32) -> u32 {
  if (exponent >= 255) { return INFINITY; }
  var bits = significand;
  var field = 0u;
  if (exponent > 0) { field = u32(exponent - 1) << 23u; } else { bits = shiftSticky(bits, u32(1 - exponent)); }
  let kept = bits >> 2u;
  let lost = bits & 3u;
  // The significand's leading bit, and a carry out of it, add to the exponent's field.
  return field + kept + u32(lost > 2u || (lost == 2u && (kept & 1u) == 1u));
}

// dividend / divisor, where the divisor is positive, finite and not subnormal.
fn divide(dividend: u32, divisor: u32) -> u32 {
  let sign = dividend & 0x80000000u;
  let magnitude = dividend ^ sign;
  if (magnitude == 0u || magnitude >= INFINITY) { return dividend; }
  var a = unpack(magnitude);
  let b = unpack(divisor);
  if (a.significand < b.significand) { a = Unpacked(a.exponent - 1, a.significand << 1u); }
  // The quotient is in [1, 2): its one, then 24 bits, eight at a time (the rest is below 2^24).
  var quotient = 1u;
  var rest = a.significand - b.significand;
  for (var step = 0u; step < 3u; step++) {
    rest <<= 8u;
    let digit = rest / b.significand;
    rest -= digit * b.significand;
    quotient = (quotient << 8u) | digit;
  }
  return sign | pack(a.exponent - b.exponent + 127, (quotient << 1u) | u32(rest != 0u));
}

// value · factor, where the factor is positive, finite and not subnormal.
fn multiply(value: u32, factor: u32) -> u32 {
  let sign = value & 0x80000000u;
  let magnitude = value ^ sign;
  if (magnitude == 0u || magnitude >= INFINITY) { return value; }
  let a = unpack(magnitude);
  let b = unpack(factor);
  let low = (a.significand << 8u) * (b.significand << 8u);
  let high = multiplyHigh(a.significand << 8u, b.significand << 8u); // in [2^30, 2^32)
  let carry = high >> 31u;
  let significand = shiftSticky(high, 5u + carry) | u32(low != 0u);
  return sign | pack(a.exponent + b.exponent - 127 + i32(carry), significand);
}

// highest - value, where both are finite, value is at most highest and neither is -0.
fn distanceBelow(highest: u32, value: u32) -> u32 {
  let a = highest & 0x7fffffffu;
  let b = value & 0x7fffffffu;
  let larger = max(a, b);
  let smaller = min(a, b);
  // Significands get five more bits; subnormals stay as they are.
  let exponent = max(larger >> 23u, 1u);
  let upper = ((larger & 0x7fffffu) | (u32(larger >= 0x800000u) << 23u)) << 5u;
  let unaligned = ((smaller & 0x7fffffu) | (u32(smaller >= 0x800000u) << 23u)) << 5u;
  let lower = shiftSticky(unaligned, exponent - max(smaller >> 23u, 1u));
  let result = select(upper - lower, upper + lower, (highest ^ value) >= 0x80000000u);
  if (result == 0u) { return 0u; }
  let leading = firstLeadingBit(result);
  let significand = shiftSticky(result << (25u - min(leading, 25u)), max(leading, 25u) - 25u);
  return pack(i32(exponent + leading) - 28, significand);
}
