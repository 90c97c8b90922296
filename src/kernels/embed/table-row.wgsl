// Single numbers of a weight matrix: which words say what they are, and what they say.
#include "common/widen.wgsl"

fn wordAt(row: u32, column: u32) -> u32 {
#if FORMAT == "f32"
  return row * STRIDE + column;
#elif FORMAT == "i8-row"
  return row * STRIDE + column / 4u;
#elif GROUPED
  return row * STRIDE + column / (4u * QUADS_PER_CHUNK) * 4u + column % 4u;
#else
  return row * STRIDE + column / 2u;
#endif
}

// The word that has what a number shares with its group; of formats without groups that of the number itself.
fn groupAt(row: u32, column: u32) -> u32 {
#if GROUPED
  return row * STRIDE + CHUNKS * 4u + column / (8u * GROUP_QUADS);
#else
  return wordAt(row, column);
#endif
}

// A number, but for the scale of its row.
fn numberOf(word: u32, groups: u32, column: u32) -> f32 {
#if FORMAT == "f32"
  return bitcast<f32>(word);
#elif FORMAT == "i8-row"
  return widen4(word)[column % 4u];
#elif GROUPED
  let stored = (groups >> (16u * (column / (4u * GROUP_QUADS) % 2u))) & 0xffffu;
  let quad = column / 4u % QUADS_PER_CHUNK;
#if FORMAT == "int8"
  return quadOf(flipSigns(vec4(word)), quad).x * groupScale(stored);
#else
  return (quadOf(vec4(word), quad).x - groupZero(stored)) * groupScale(stored);
#endif
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
#elif FORMAT == "int4"
fn scaleAt(row: u32) -> u32 { return groupAt(row, COLUMNS + 8u * GROUP_QUADS - 1u); }
fn scaleOf(word: u32) -> f32 { return bitcast<f32>(word); }
#else
fn scaleAt(row: u32) -> u32 { return row * STRIDE; }
fn scaleOf(word: u32) -> f32 { return 1.0; }
#endif
