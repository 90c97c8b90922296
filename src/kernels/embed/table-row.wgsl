// Single numbers of a weight matrix: which word has them, and what it says.
#include "common/widen.wgsl"

fn wordAt(row: u32, column: u32) -> u32 {
#if FORMAT == "f32"
  return row * STRIDE + column;
#else
  return row * STRIDE + column / 2u;
#endif
}

fn numberOf(word: u32, column: u32) -> f32 {
#if FORMAT == "f32"
  return bitcast<f32>(word);
#else
  let half = select(word & 0xffffu, word >> 16u, column % 2u == 1u);
#if FORMAT == "bf16"
  return bitcast<f32>(half << 16u);
#else
  return widenHalves(vec4(half)).x;
#endif
#endif
}
