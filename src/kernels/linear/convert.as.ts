// AssemblyScript. The loader's conversion between the formats of checkpoints: to the nearest number, ties to even.

import { f16Scale } from "./widen.as";

/**
 * Converts `count` numbers at `p` to `out`. Formats: 0 f32, 1 f16, 2 bf16. Returns 0 where a finite number is beyond f16's
 * range, else 1; infinities and NaN stay what they are.
 */
export function convert(p: usize, count: i32, source: i32, target: i32, out: usize): i32 {
  const scale = f32x4.extract_lane(f16Scale(), 0);
  let fits = 1;
  for (let i = 0; i < count; i++) {
    let value: f32;
    if (source == 0) value = load<f32>(p + (<usize>i << 2));
    else {
      const bits = <u32>load<u16>(p + (<usize>i << 1));
      value = source == 2 ? reinterpret<f32>(bits << 16) : halfValue(bits, scale);
    }
    if (target == 0) store<f32>(out + (<usize>i << 2), value);
    else {
      const bits = target == 2 ? bf16Bits(value) : f16Bits(value);
      if (target == 1 && (bits & 0x7fff) == 0x7c00 && abs<f32>(value) < Infinity) fits = 0;
      store<u16>(out + (<usize>i << 1), <u16>bits);
    }
  }
  return fits;
}

@inline
function halfValue(bits: u32, scale: f32): f32 {
  const sign = (bits & 0x8000) << 16;
  // Infinities and NaN have an exponent of their own.
  if ((bits & 0x7c00) == 0x7c00) return reinterpret<f32>(sign | 0x7f800000 | ((bits & 0x3ff) << 13));
  return reinterpret<f32>(sign | ((bits & 0x7fff) << 13)) * scale;
}

@inline
function bf16Bits(value: f32): u32 {
  const bits = reinterpret<u32>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >> 16) | 0x40;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

/** The nearest f16 number's bits: infinity from 65520 on, where it is finite too. */
@inline
export function f16Bits(value: f32): u32 {
  const bits = reinterpret<u32>(value);
  const sign = (bits >> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  // 65520 and above round to infinity.
  if (size >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 the addition of 1/2 moves the number's bits to where f16 has them, and rounds.
  if (size < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(size) + <f32>0.5) - 0x3f000000);
  return sign | ((size + 0xfff + ((size >> 13) & 1) - 0x38000000) >> 13);
}
