// Weights and inputs in chunks of 16 bytes of a weight row: 16 columns of i8 (four to a word, the first one lowest), 8 of
// bf16 or f16 (two to a word, the even one in the lower half), 4 of f32. CHUNKS to a row; columns beyond the last are zeros
// in the weight. Rows are WEIGHT_STRIDE chunks apart; of "i8-row" the one behind the columns begins with the row's scale.
// Chunks of "int8" have 16 columns and those of "int4" 32, in the order of quantized/quantize-rows.as.ts, and behind them what
// that file says: a product of a chunk is Σ x q, from which the group's zero times Σ x is taken, times the group's scale.
//
// A running sum is one number, so that an invocation has registers for those of many rows and outputs at once. Loops over the
// CHUNK_QUADS fours of columns of a chunk are written out: what they index must be in registers.
#include "common/widen.wgsl"

// sum + a · b.
fn addDot(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

#if FORMAT == "f32"
// `all` has columns 0..3.
struct Chunk { all: vec4<f32> }

fn widenChunk(packed: vec4<u32>) -> Chunk { return Chunk(bitcast<vec4<f32>>(packed)); }
fn addProducts(a: Chunk, b: Chunk, sum: f32) -> f32 { return addDot(a.all, b.all, sum); }
fn times(xs: Chunk, ys: Chunk) -> Chunk { return Chunk(xs.all * ys.all); }

#if ALIGNED
const X_STRIDE = COLUMNS / 4u;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk { return Chunk(x[row + chunk]); }
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk { return Chunk(vectors[offset / 4u + chunk]); }
#else
const X_STRIDE = COLUMNS;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk {
  var all: vec4<f32>;
  for (var i = 0u; i < 4u; i++) {
    if (chunk * 4u + i < COLUMNS) { all[i] = x[row + chunk * 4u + i]; }
  }
  return Chunk(all);
}
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  var all: vec4<f32>;
  for (var i = 0u; i < 4u; i++) {
    if (chunk * 4u + i < COLUMNS) { all[i] = vectors[offset + chunk * 4u + i]; }
  }
  return Chunk(all);
}
#endif

#elif FORMAT == "i8-row"
// Element j has columns j, 4 + j, 8 + j and 12 + j: as the bytes of the words have them.
struct Chunk { quads: mat4x4<f32> }

// What multiplies the sums of a row.
fn rowScale(row: u32) -> f32 { return bitcast<f32>(weight[row + CHUNKS].x); }

fn widenChunk(packed: vec4<u32>) -> Chunk {
  var all: Chunk;
#for J 4
  all.quads[$J] = vec4<f32>(bitcast<vec4<i32>>(packed << vec4<u32>(24u - 8u * $J)) >> vec4<u32>(24u));
#endfor
  return all;
}
fn addProducts(a: Chunk, b: Chunk, sum: f32) -> f32 {
  var result = sum;
#for J 4
  result = addDot(a.quads[$J], b.quads[$J], result);
#endfor
  return result;
}
fn times(xs: Chunk, ys: Chunk) -> Chunk {
  var product: Chunk;
#for J 4
  product.quads[$J] = xs.quads[$J] * ys.quads[$J];
#endfor
  return product;
}

#if ALIGNED
const X_STRIDE = COLUMNS / 4u;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk {
  let at = row + 4u * chunk;
  return Chunk(transpose(mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u])));
}
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  let at = offset / 4u + 4u * chunk;
  return Chunk(transpose(mat4x4<f32>(vectors[at], vectors[at + 1u], vectors[at + 2u], vectors[at + 3u])));
}
#else
const X_STRIDE = COLUMNS;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk {
  var all = Chunk();
  for (var i = 0u; i < 16u; i++) {
    if (chunk * 16u + i < COLUMNS) { all.quads[i % 4u][i / 4u] = x[row + chunk * 16u + i]; }
  }
  return all;
}
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  var all = Chunk();
  for (var i = 0u; i < 16u; i++) {
    if (chunk * 16u + i < COLUMNS) { all.quads[i % 4u][i / 4u] = vectors[offset + chunk * 16u + i]; }
  }
  return all;
}
#endif

#elif GROUPED
// Quad j has columns 4 j .. 4 j + 3.
struct Chunk { quads: array<vec4<f32>, QUADS_PER_CHUNK> }

// The two bytes of the group of a chunk of the weight row at `row`.
fn groupOfChunk(row: u32, chunk: u32) -> u32 {
  let group = chunk * QUADS_PER_CHUNK / GROUP_QUADS;
  let word = weight[row + CHUNKS + group / 8u][(group / 2u) % 4u];
  return (word >> (16u * (group % 2u))) & 0xffffu;
}
fn multiplyAddGroup(xs: Chunk, total: vec4<f32>, packed: vec4<u32>, group: u32, sum: f32) -> f32 {
#if FORMAT == "int8"
  let words = flipSigns(packed);
  var part = vec4<f32>();
#else
  let words = packed;
  var part = -groupZero(group) * total;
#endif
#for J CHUNK_QUADS
  part = fma(xs.quads[$J], quadOf(words, $J), part);
#endfor
  return fma(dot(part, vec4<f32>(1.0)), groupScale(group), sum);
}
// What the zero of a group multiplies.
fn totalOf(xs: Chunk) -> vec4<f32> {
  var result = vec4<f32>();
#if FORMAT == "int4"
#for J CHUNK_QUADS
  result += xs.quads[$J];
#endfor
#endif
  return result;
}
fn addProducts(a: Chunk, b: Chunk, sum: f32) -> f32 {
  var result = sum;
#for J CHUNK_QUADS
  result = addDot(a.quads[$J], b.quads[$J], result);
#endfor
  return result;
}
fn times(xs: Chunk, ys: Chunk) -> Chunk {
  var product: Chunk;
#for J CHUNK_QUADS
  product.quads[$J] = xs.quads[$J] * ys.quads[$J];
#endfor
  return product;
}
#if FORMAT == "int4"
// What multiplies the sums of a row.
fn rowScale(row: u32) -> f32 {
  const WORD = (CHUNKS + 1u) / 2u; // behind a half a chunk
  return bitcast<f32>(weight[row + CHUNKS + WORD / 4u][WORD % 4u]);
}
#endif

#if ALIGNED
const X_STRIDE = COLUMNS / 4u;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk {
  var all: Chunk;
#for J CHUNK_QUADS
  all.quads[$J] = x[row + QUADS_PER_CHUNK * chunk + $J];
#endfor
  return all;
}
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  var all: Chunk;
#for J CHUNK_QUADS
  all.quads[$J] = vectors[offset / 4u + QUADS_PER_CHUNK * chunk + $J];
#endfor
  return all;
}
#else
const X_STRIDE = COLUMNS;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk {
  var all: Chunk;
  for (var i = 0u; i < 4u * QUADS_PER_CHUNK; i++) {
    let column = chunk * 4u * QUADS_PER_CHUNK + i;
    if (column < COLUMNS) { all.quads[i / 4u][i % 4u] = x[row + column]; }
  }
  return all;
}
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  var all: Chunk;
  for (var i = 0u; i < 4u * QUADS_PER_CHUNK; i++) {
    let column = chunk * 4u * QUADS_PER_CHUNK + i;
    if (column < COLUMNS) { all.quads[i / 4u][i % 4u] = vectors[offset + column]; }
  }
  return all;
}
#endif

#else
// `even` has columns 0, 2, 4, 6 and `odd` 1, 3, 5, 7, as the halves of the words have them.
struct Chunk { even: vec4<f32>, odd: vec4<f32> }

fn widenChunk(packed: vec4<u32>) -> Chunk {
#if FORMAT == "bf16"
  return Chunk(bitcast<vec4<f32>>(packed << vec4<u32>(16u)), bitcast<vec4<f32>>(packed & vec4<u32>(0xffff0000u)));
#elif FORMAT == "f16"
  return Chunk(widenHalves(packed & vec4<u32>(0xffffu)), widenHalves(packed >> vec4<u32>(16u)));
#endif
}
fn addProducts(a: Chunk, b: Chunk, sum: f32) -> f32 { return addDot(a.odd, b.odd, addDot(a.even, b.even, sum)); }
fn times(xs: Chunk, ys: Chunk) -> Chunk { return Chunk(xs.even * ys.even, xs.odd * ys.odd); }

#if ALIGNED
const X_STRIDE = COLUMNS / 4u;
fn apart(a: vec4<f32>, b: vec4<f32>) -> Chunk {
  return Chunk(vec4<f32>(a.x, a.z, b.x, b.z), vec4<f32>(a.y, a.w, b.y, b.w));
}
fn chunkOfRow(row: u32, chunk: u32) -> Chunk { return apart(x[row + 2u * chunk], x[row + 2u * chunk + 1u]); }
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  let at = offset / 4u + 2u * chunk;
  return apart(vectors[at], vectors[at + 1u]);
}
#else
const X_STRIDE = COLUMNS;
fn chunkOfRow(row: u32, chunk: u32) -> Chunk {
  var all: Chunk;
  for (var i = 0u; i < 4u; i++) {
    let column = chunk * 8u + 2u * i;
    if (column < COLUMNS) { all.even[i] = x[row + column]; }
    if (column + 1u < COLUMNS) { all.odd[i] = x[row + column + 1u]; }
  }
  return all;
}
fn chunkOfVector(offset: u32, chunk: u32) -> Chunk {
  var all: Chunk;
  for (var i = 0u; i < 4u; i++) {
    let column = chunk * 8u + 2u * i;
    if (column < COLUMNS) { all.even[i] = vectors[offset + column]; }
    if (column + 1u < COLUMNS) { all.odd[i] = vectors[offset + column + 1u]; }
  }
  return all;
}
#endif
#endif
