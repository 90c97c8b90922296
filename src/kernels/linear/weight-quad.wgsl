// A weight as the checkpoint or a quantiser stores it, read four columns at a time. WEIGHT_BINDING is the number of its binding.
#include "common/widen.wgsl"

#if FORMAT == "f32"
@group(0) @binding(WEIGHT_BINDING) var<storage, read> weight: array<vec4<u32>>; // [count, WEIGHT_STRIDE]: four columns each
#elif FORMAT == "i8-row"
@group(0) @binding(WEIGHT_BINDING) var<storage, read> weight: array<u32>; // behind WEIGHT_QUADS of a row: its scale
#elif GROUPED
@group(0) @binding(WEIGHT_BINDING) var<storage, read> weight: array<vec4<u32>>; // [count, WEIGHT_STRIDE]: chunks, then what groups share
#else
@group(0) @binding(WEIGHT_BINDING) var<storage, read> weight: array<vec2<u32>>;
#endif

fn weightQuad(row: u32, quad: u32) -> vec4<f32> {
  // Between the last column and the end of the row are zeros.
  if (quad >= WEIGHT_QUADS) { return vec4(0.0); }
#if GROUPED
  let at = row * WEIGHT_STRIDE;
  const CHUNKS = WEIGHT_QUADS / QUADS_PER_CHUNK;
  let chunk = weight[at + quad / QUADS_PER_CHUNK];
  let group = quad / GROUP_QUADS;
  let word = weight[at + CHUNKS + group / 8u][(group / 2u) % 4u];
  let stored = (word >> (16u * (group % 2u))) & 0xffffu;
#if FORMAT == "int8"
  return quadOf(flipSigns(chunk), quad % QUADS_PER_CHUNK) * groupScale(stored);
#else
  const WORD = (CHUNKS + 1u) / 2u; // behind a half a chunk
  let rowScale = bitcast<f32>(weight[at + CHUNKS + WORD / 4u][WORD % 4u]);
  // The first product is exact: the row's scale rounds once.
  return (quadOf(chunk, quad % QUADS_PER_CHUNK) - groupZero(stored)) * groupScale(stored) * rowScale;
#endif
#elif FORMAT == "i8-row"
  return widen4(weight[row * WEIGHT_STRIDE + quad]) * bitcast<f32>(weight[row * WEIGHT_STRIDE + WEIGHT_QUADS]);
#else
  return widen4(weight[row * WEIGHT_STRIDE + quad]);
#endif
}
