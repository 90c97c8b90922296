// The scale of a row of f16 numbers: the power of two that puts its largest number between 2^14 and 2^15.

// Bits of numbers without sign are in the order of the numbers, and those of NaN above all.
fn magnitudeBits(value: f32) -> u32 { return bitcast<u32>(value) & 0x7fffffffu; }

// The biased exponent of the number with these bits, no less than 27: then those of the scale and of its inverse are normal
// numbers too.
fn scaleExponent(largest: u32) -> u32 { return max(largest >> 23u, 27u); }

// What numbers are multiplied with.
fn factorOf(exponent: u32) -> f32 { return bitcast<f32>((268u - exponent) << 23u); }

// What undoes that; NaN where a number is infinite or NaN.
fn scaleBits(exponent: u32) -> u32 { return select((exponent - 14u) << 23u, 0x7fc00000u, exponent == 255u); }
