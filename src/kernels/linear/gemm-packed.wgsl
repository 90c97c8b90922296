// Matrix times many token rows on matrix units (Dawn's subgroup matrices), both packed as scaled f16 by gemm-pack.wgsl and
// gemm-pack-weight.wgsl: output[r][n] = Σ_k x[r][k] · weight[n][k] (+ bias[n]), or output += that.
//
// SUBGROUP_ROWS × SUBGROUP_COLUMNS subgroups share tiles of x and weight in workgroup memory; each computes ROW_MATRICES ×
// COLUMN_MATRICES matrices of the product. The next tiles are on their way from memory meanwhile, 16 bytes a load and as they
// are. With two TERMS x is the sum of two halves; both are multiplied and added to one sum, the smaller one first.
//
// Matrix units may cut off what does not fit their sums instead of rounding it, and err to one side. With FLUSH, sums of that
// many columns are added up in f32 arithmetic that rounds.
#include "linear/product-output.wgsl"

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>; // [R, X_CHUNKS]
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>; // [count, WEIGHT_CHUNKS]

const SUBGROUPS_USED = SUBGROUP_ROWS * SUBGROUP_COLUMNS;
const WORKGROUP = SUBGROUPS_USED * SUBGROUP_SIZE;
const OWN_ROWS = ROW_MATRICES * MATRIX_ROWS;
const OWN_COLUMNS = COLUMN_MATRICES * MATRIX_COLUMNS;
const TILE_ROWS = SUBGROUP_ROWS * OWN_ROWS;
const TILE_COLUMNS = SUBGROUP_COLUMNS * OWN_COLUMNS;

// Chunks of 16 bytes: eight halves. The last of a row is its scale.
const TERM_CHUNKS = TERM_WORDS / 4u;
const X_CHUNKS = TERMS * TERM_CHUNKS + 1u;
const WEIGHT_CHUNKS = TERM_CHUNKS + 1u;
const TILE_CHUNKS = TILE_K / 8u;
const X_LINES = TERMS * TILE_ROWS;
const X_PIECES = X_LINES * TILE_CHUNKS;
const WEIGHT_PIECES = TILE_COLUMNS * TILE_CHUNKS;
const STEPS = TERM_CHUNKS / TILE_CHUNKS;
const_assert STEPS * TILE_CHUNKS == TERM_CHUNKS;
const_assert X_LOADS * WORKGROUP >= X_PIECES && WEIGHT_LOADS * WORKGROUP >= WEIGHT_PIECES;

// Sixteen bytes between rows spread the rows of a matrix over the banks.
const PITCH = TILE_K / 4u + 2u;
const TILE_SIZE = (X_LINES + TILE_COLUMNS) * PITCH;

// Tiles lie as [BUFFERS][TILE_ROWS of x's first halves, of its second ones, TILE_COLUMNS of the weight][PITCH].
var<workgroup> tiles: array<Stored, BUFFERS * TILE_SIZE>;
// A row of matrices of each subgroup.
var<workgroup> results: array<vec4<f32>, SUBGROUPS_USED * COLUMN_MATRICES * RESULT_QUADS>;

#include "linear/gemm-matrix-unit.wgsl"

const QUADS_EACH = (RESULT_QUADS + SUBGROUP_SIZE - 1u) / SUBGROUP_SIZE;

#if EMULATED
alias Stored = vec4<f32>;
fn keep(words: vec4<u32>, at: u32) {
  tiles[at] = vec4(unpack2x16float(words.x), unpack2x16float(words.y));
  tiles[at + 1u] = vec4(unpack2x16float(words.z), unpack2x16float(words.w));
}
#else
enable f16;
alias Stored = vec4<f16>;
fn keep(words: vec4<u32>, at: u32) {
  tiles[at] = bitcast<vec4<f16>>(words.xy);
  tiles[at + 1u] = bitcast<vec4<f16>>(words.zw);
}
#endif

// Piece `index` of a tile's lines of x lies here in x, at the first step; and here in a tile.
fn pieceOfX(index: u32, firstRow: u32) -> u32 {
  let line = index / TILE_CHUNKS;
  return (firstRow + line % TILE_ROWS) * X_CHUNKS + line / TILE_ROWS * TERM_CHUNKS + index % TILE_CHUNKS;
}
fn pieceOfWeight(index: u32, firstColumn: u32) -> u32 {
  return (firstColumn + index / TILE_CHUNKS) * WEIGHT_CHUNKS + index % TILE_CHUNKS;
}
fn placeOf(index: u32, firstLine: u32) -> u32 {
  return (firstLine + index / TILE_CHUNKS) * PITCH + index % TILE_CHUNKS * 2u;
}

// The sums times the scales of their rows of x and weight. The smaller scale comes first: so nothing overflows that the product
// does not. A scale that is NaN is the larger one or the smaller one, and shows.
fn writeScaled(r: u32, n: u32, sums: vec4<f32>) {
  if (r >= rowCount() || n >= params.count) { return; }
  let scale = vec4(bitcast<f32>(x[(r + 1u) * X_CHUNKS - 1u].x));
  var scales = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    scales[i] = bitcast<f32>(weight[(min(n + i, params.count - 1u) + 1u) * WEIGHT_CHUNKS - 1u].x);
  }
  let isLarger = scales > scale;
  writeQuad(r, n, sums * select(scales, scale, isLarger) * select(scale, scales, isLarger));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
#if !EMULATED
  @builtin(subgroup_id) subgroupId: u32,
#endif
) {
#if EMULATED
  lane = local % SUBGROUP_SIZE;
  let subgroup = local / SUBGROUP_SIZE;
#else
  // Where subgroups are smaller than the largest, there are more of them; they repeat what others do.
  let subgroup = subgroupId % SUBGROUPS_USED;
#endif
  let start = tileStart(workgroup, workgroups, TILE_ROWS, TILE_COLUMNS);
  if (!start.exists) { return; }
  let firstRow = start.row;
  let firstColumn = start.column;

  // Rows and columns beyond the last are whatever lies behind the packed rows; they are computed and thrown away.
#for I X_LOADS
  let xAt$I = pieceOfX(local + $I * WORKGROUP, firstRow);
#endfor
#for I WEIGHT_LOADS
  let weightAt$I = pieceOfWeight(local + $I * WORKGROUP, firstColumn);
#endfor
  let ownX = subgroup / SUBGROUP_COLUMNS * OWN_ROWS * PITCH;
  let ownWeight = (X_LINES + subgroup % SUBGROUP_COLUMNS * OWN_COLUMNS) * PITCH;
  // The matrices that this invocation adds up and writes; which subgroup it runs in does not matter for that.
  let owner = local / SUBGROUP_SIZE;
  let ownLane = local % SUBGROUP_SIZE;

#for I ROW_MATRICES
#for J COLUMN_MATRICES
  var sums$I$J = Result();
#if FLUSH != 0
  var kept$I$J = array<vec4<f32>, QUADS_EACH>();
#endif
#endfor
#endfor

  // Step s brings tile s and computes tile s - 1.
  var reading = 0u;
  for (var step = 0u; step <= STEPS; step++) {
#for I X_LOADS
    var nextX$I = vec4<u32>();
#endfor
#for I WEIGHT_LOADS
    var nextWeight$I = vec4<u32>();
#endfor
    if (step < STEPS) {
#for I X_LOADS
      if (local + $I * WORKGROUP < X_PIECES) { nextX$I = x[xAt$I + step * TILE_CHUNKS]; }
#endfor
#for I WEIGHT_LOADS
      if (local + $I * WORKGROUP < WEIGHT_PIECES) { nextWeight$I = weight[weightAt$I + step * TILE_CHUNKS]; }
#endfor
    }
    if (step > 0u) {
      for (var k = 0u; k < TILE_K / 4u; k += MATRIX_K / 4u) {
#for J COLUMN_MATRICES
        let b$J = right(reading + k + ownWeight + $J * MATRIX_COLUMNS * PITCH);
#endfor
#for I ROW_MATRICES
#if TERMS == 2
        let low$I = left(reading + k + ownX + (TILE_ROWS + $I * MATRIX_ROWS) * PITCH);
#for J COLUMN_MATRICES
        sums$I$J = multiplyAdd(low$I, b$J, sums$I$J);
#endfor
#endif
        let a$I = left(reading + k + ownX + $I * MATRIX_ROWS * PITCH);
#for J COLUMN_MATRICES
        sums$I$J = multiplyAdd(a$I, b$J, sums$I$J);
#endfor
#endfor
      }
#if FLUSH != 0
      if (step % (FLUSH / TILE_K) == 0u && step < STEPS) {
#for I ROW_MATRICES
#for J COLUMN_MATRICES
        storeResult((subgroup * COLUMN_MATRICES + $J) * RESULT_QUADS, sums$I$J);
        sums$I$J = Result();
#endfor
        workgroupBarrier();
        for (var q = 0u; q < QUADS_EACH; q++) {
          let quad = ownLane + q * SUBGROUP_SIZE;
          if (quad < RESULT_QUADS) {
#for J COLUMN_MATRICES
            kept$I$J[q] += results[(owner * COLUMN_MATRICES + $J) * RESULT_QUADS + quad];
#endfor
          }
        }
        workgroupBarrier();
#endfor
      }
#endif
    }
#if BUFFERS == 1
    workgroupBarrier();
#else
    reading = TILE_SIZE - reading;
#endif
    if (step < STEPS) {
#for I X_LOADS
      if (local + $I * WORKGROUP < X_PIECES) { keep(nextX$I, reading + placeOf(local + $I * WORKGROUP, 0u)); }
#endfor
#for I WEIGHT_LOADS
      if (local + $I * WORKGROUP < WEIGHT_PIECES) { keep(nextWeight$I, reading + placeOf(local + $I * WORKGROUP, X_LINES)); }
#endfor
    }
    workgroupBarrier();
  }

  let ownRow = firstRow + owner / SUBGROUP_COLUMNS * OWN_ROWS;
  let ownColumn = firstColumn + owner % SUBGROUP_COLUMNS * OWN_COLUMNS;
#for I ROW_MATRICES
#for J COLUMN_MATRICES
  storeResult((subgroup * COLUMN_MATRICES + $J) * RESULT_QUADS, sums$I$J);
#endfor
  workgroupBarrier();
  for (var q = 0u; q < QUADS_EACH; q++) {
    let quad = ownLane + q * SUBGROUP_SIZE;
    if (quad < RESULT_QUADS) {
      let row = ownRow + $I * MATRIX_ROWS + quad / (MATRIX_COLUMNS / 4u);
      let column = ownColumn + quad % (MATRIX_COLUMNS / 4u) * 4u;
#for J COLUMN_MATRICES
#if FLUSH != 0
      kept$I$J[q] += results[(owner * COLUMN_MATRICES + $J) * RESULT_QUADS + quad];
      writeScaled(row, column + $J * MATRIX_COLUMNS, kept$I$J[q]);
#else
      writeScaled(row, column + $J * MATRIX_COLUMNS, results[(owner * COLUMN_MATRICES + $J) * RESULT_QUADS + quad]);
#endif
#endfor
    }
  }
  workgroupBarrier();
#endfor
}
