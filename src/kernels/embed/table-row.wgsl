// Single numbers of a weight matrix: which word has them, and what it says.
#include "common/widen.wgsl"

fn wordAt(row: u32, column: u32) -> u32 {
#if FORMAT == "f32"
  return row * STRIDE + column;
#elif FORMAT == "i8-row"
  return row * STRIDE + column / 4u;
#else
  return row * STRIDE + column / 2u;
#endif
}

fn numberOf(word: u32, column: u32) -> f32 {
#if FORMAT == "f32"
  return bitcast<f32>(word);
#elif FORMAT == "i8-row"
  return widen4(word)[column % 4u];
#else
  let half = select(word & 0xffffu, word >> 16u, column % 2u == 1u);
#if FORMAT == "bf16"
  return bitcast<f32>(half << 16u);
#else
  return widenHalves(vec4(half)).x;
#endif
#endif
}

// The word of a row that has what multiplies its numbers.
#if FORMAT == "i8-row"
fn scaleAt(row: u32) -> u32 { return row * STRIDE + CHUNKS * 4u; }
fn scaleOf(word: u32) -> f32 { return bitcast<f32>(word); }
#else
fn scaleAt(row: u32) -> u32 { return row * STRIDE; }
fn scaleOf(word: u32) -> f32 { return 1.0; }
#endif
