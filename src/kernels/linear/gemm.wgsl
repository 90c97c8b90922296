// Matrix times many token rows: output[r][n] = Σ_k x[r][k] · weight[n][k] (+ bias[n]), or output += that.
//
// A workgroup computes TILE_ROWS × TILE_COLUMNS outputs in registers, TILE_K columns of x and weight at a time through
// workgroup memory. There the tiles lie with k outermost, so that an invocation reads, for each k, ROW_QUADS + COLUMN_QUADS
// vectors of four and multiplies them with each other. The next tiles are on their way from memory meanwhile.
#include "linear/gemm-memory.wgsl"

// 16 × 16 invocations, each with quads of rows and columns that lie TILE / QUADS apart.
const WORKGROUP = 256u;
const TILE_ROWS = 64u * ROW_QUADS;
const TILE_COLUMNS = 64u * COLUMN_QUADS;

// A line is four rows of x or of the weight. Lines of x come first.
const ROW_LINES = TILE_ROWS / 4u;
const LINES = ROW_LINES + TILE_COLUMNS / 4u;
const TILE_QUADS = TILE_K / 4u;
// One line by one quad of columns is what an invocation brings.
const_assert LINES * TILE_QUADS <= WORKGROUP;

// [BUFFERS][TILE_K][LINES]
var<workgroup> tiles: array<Stored, BUFFERS * TILE_K * LINES>;

fn keep(values: mat4x4<f32>, at: u32) {
  let byColumn = transpose(values);
  tiles[at] = stored(byColumn[0]);
  tiles[at + LINES] = stored(byColumn[1]);
  tiles[at + 2u * LINES] = stored(byColumn[2]);
  tiles[at + 3u * LINES] = stored(byColumn[3]);
}

// sums + the products of four rows with four columns; column i of the matrix is row i.
fn addProducts(a: vec4<f32>, b: vec4<f32>, sums: mat4x4<f32>) -> mat4x4<f32> {
  return mat4x4(
    fma(vec4(a.x), b, sums[0]),
    fma(vec4(a.y), b, sums[1]),
    fma(vec4(a.z), b, sums[2]),
    fma(vec4(a.w), b, sums[3]),
  );
}

fn writeBlock(r: u32, n: u32, sums: mat4x4<f32>) {
  writeSums(r, n, sums[0]);
  writeSums(r + 1u, n, sums[1]);
  writeSums(r + 2u, n, sums[2]);
  writeSums(r + 3u, n, sums[3]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let start = tileStart(workgroup, workgroups, TILE_ROWS, TILE_COLUMNS);
  if (!start.exists) { return; }
  let firstRow = start.row;
  let firstColumn = start.column;

  // Eight neighbours bring one quad of eight lines: their writes fall in different banks, and the 32 of a warp still read
  // whole sectors. Rows beyond the last are read from it, computed and thrown away.
  let line = local % 8u + 8u * (local / (8u * TILE_QUADS));
  let ownQuad = (local / 8u) % TILE_QUADS;
  let brings = local < LINES * TILE_QUADS;
  let isInput = line < ROW_LINES;
  let lineRows = vec4(0u, 1u, 2u, 3u) + select(firstColumn + (line - ROW_LINES) * 4u, firstRow + line * 4u, isInput);
  let ownLine = min(lineRows, vec4(select(params.count, rowCount(), isInput) - 1u));
  let ownPlace = ownQuad * 4u * LINES + line;

  // 32 neighbours form a block of 4 × 8, the shape with the fewest different addresses in workgroup memory.
  let row = (local / 8u) % 4u + 4u * (local / 64u);
  let column = local % 8u + 8u * ((local / 32u) % 2u);

  var sums00 = mat4x4<f32>();
#if COLUMN_QUADS == 2
  var sums01 = mat4x4<f32>();
#endif
#if ROW_QUADS == 2
  var sums10 = mat4x4<f32>();
#if COLUMN_QUADS == 2
  var sums11 = mat4x4<f32>();
#endif
#endif

  // Step s brings tile s and computes tile s - 1. Behind the last tile are zeros.
  var reading = 0u;
  for (var quad = 0u; quad < INPUT_QUADS + TILE_QUADS; quad += TILE_QUADS) {
    var next = mat4x4<f32>();
    if (brings) { next = bring(isInput, ownLine, quad + ownQuad); }
    if (quad > 0u) {
      for (var k = 0u; k < TILE_K; k++) {
        let at = reading + k * LINES;
        let a0 = vec4<f32>(tiles[at + row]);
        let b0 = vec4<f32>(tiles[at + ROW_LINES + column]);
        sums00 = addProducts(a0, b0, sums00);
#if COLUMN_QUADS == 2
        let b1 = vec4<f32>(tiles[at + ROW_LINES + 16u + column]);
        sums01 = addProducts(a0, b1, sums01);
#endif
#if ROW_QUADS == 2
        let a1 = vec4<f32>(tiles[at + 16u + row]);
        sums10 = addProducts(a1, b0, sums10);
#if COLUMN_QUADS == 2
        sums11 = addProducts(a1, b1, sums11);
#endif
#endif
      }
    }
#if BUFFERS == 1
    workgroupBarrier();
#else
    reading = TILE_K * LINES - reading;
#endif
    if (brings) { keep(next, reading + ownPlace); }
    workgroupBarrier();
  }

  let r = firstRow + row * 4u;
  let n = firstColumn + column * 4u;
  writeBlock(r, n, sums00);
#if COLUMN_QUADS == 2
  writeBlock(r, n + 64u, sums01);
#endif
#if ROW_QUADS == 2
  writeBlock(r + 64u, n, sums10);
#if COLUMN_QUADS == 2
  writeBlock(r + 64u, n + 64u, sums11);
#endif
#endif
}
