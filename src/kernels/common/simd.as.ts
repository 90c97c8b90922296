// AssemblyScript. Helpers shared by the WASM kernels; every one inlines.
//
// Two modules are built from the same sources: "relaxed" (ASC_FEATURE_RELAXED_SIMD) and "baseline".
//
// V8 rebuilds every v128 constant at every use (four instructions; a mask constant inside a loop cost a factor of
// 2 to 10 when measured), so constants come from memory (`constants`) or arrive as parameters.

/** Output rows of a weight tile, interleaved; see "Weight tiles" in ARCHITECTURE.md. */
export const PANEL: i32 = 16;
/** Columns of a weight tile; the last tile of a row may have fewer. */
export const TILE_COLUMNS: i32 = 256;

/** a * b + c; fused where the build allows it. */
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Sum of the four lanes, in a fixed order. */
@inline
export function sumLanes(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** Largest of the four lanes. */
@inline
export function maxLanes(v: v128): f32 {
  return max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
}

// By offset in bytes: 0: log2(e), 4: ln2 high, 8: ln2 low, 12..32: polynomial, 36: 1, 40 and 44: least and largest
// argument
const EXP: usize = memory.data<f32>([
  1.44269504088896341, 0.693359375, -2.12194440e-4,
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
  1.0, -87.33654, 88.02969,
]);

/**
 * exp(x), four lanes, within 2 ulp for normal results; arguments are clamped to the range where the result is a
 * normal number, and -inf gives 0. Range reduction and polynomial of Cephes' expf (Moshier).
 */
@inline
export function exp4(x: v128): v128 {
  const lowest = v128.load32_splat(EXP, 40);
  const underflow = f32x4.lt(x, lowest);
  x = f32x4.pmin(f32x4.pmax(x, lowest), v128.load32_splat(EXP, 44));
  const n = f32x4.nearest(f32x4.mul(x, v128.load32_splat(EXP)));
  let r = f32x4.sub(x, f32x4.mul(n, v128.load32_splat(EXP, 4)));
  r = f32x4.sub(r, f32x4.mul(n, v128.load32_splat(EXP, 8)));
  let p = v128.load32_splat(EXP, 12);
  p = madd(p, r, v128.load32_splat(EXP, 16));
  p = madd(p, r, v128.load32_splat(EXP, 20));
  p = madd(p, r, v128.load32_splat(EXP, 24));
  p = madd(p, r, v128.load32_splat(EXP, 28));
  p = madd(p, r, v128.load32_splat(EXP, 32));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), v128.load32_splat(EXP, 36));
  const scaled = i32x4.add(p, i32x4.shl(i32x4.trunc_sat_f32x4_s(n), 23));
  return v128.andnot(scaled, underflow);
}

/** exp(x) of one number, the same function as exp4. */
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}
