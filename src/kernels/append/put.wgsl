// Numbers on their way into the KV cache: putKey and putValue, over the bindings `keys` and `values` of the kernel that
// includes this, arrays of Cell. CACHE "f32": as they are. "f16": two to a word, rounded to nearest, ties to even; finite
// ones beyond float16's range become the largest of their sign, as on the CPU (append.as.ts).
#if CACHE == "f16"
// The two numbers of a word come from invocations that know nothing of each other, and each changes its own half alone.
alias Cell = atomic<u32>;

const SIGNS = 0x80000000u;
const INFINITE = 0x7f800000u;

fn nearestHalf(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let magnitude = bits & ~SIGNS;
  let sign = (bits & SIGNS) >> 16u;
  // What is infinite already stays so, and NaN stays NaN: they should show.
  if (magnitude >= INFINITE) { return sign | select(0x7c00u, 0x7e00u, magnitude > INFINITE); }
  // From 65520 on the nearest is infinite.
  if (magnitude >= 0x477ff000u) { return sign | 0x7bffu; }
  // Normal numbers begin at 2^-14.
  if (magnitude >= 0x38800000u) {
    return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
  }
  // Others are multiples of 2^-24; those up to half of it are 0.
  let exponent = magnitude >> 23u;
  if (exponent < 102u) { return sign; }
  let shift = 126u - exponent;
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let whole = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  return sign | (whole + u32(rest > middle || (rest == middle && (whole & 1u) == 1u)));
}

fn putKey(at: u32, value: f32) {
  let shift = 16u * (at & 1u);
  atomicAnd(&keys[at / 2u], ~(0xffffu << shift));
  atomicOr(&keys[at / 2u], nearestHalf(value) << shift);
}

fn putValue(at: u32, value: f32) {
  let shift = 16u * (at & 1u);
  atomicAnd(&values[at / 2u], ~(0xffffu << shift));
  atomicOr(&values[at / 2u], nearestHalf(value) << shift);
}
#else
alias Cell = f32;

fn putKey(at: u32, value: f32) { keys[at] = value; }
fn putValue(at: u32, value: f32) { values[at] = value; }
#endif
