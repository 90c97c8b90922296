// What gemm.wgsl computes, on matrix units of the hardware that multiply f32 (Dawn's subgroup matrices).
//
// SUBGROUP_ROWS × SUBGROUP_COLUMNS subgroups share tiles of x and weight in workgroup memory; each computes 4 × 2 matrices
// of the product. The next tiles are on their way from memory meanwhile. Results go through workgroup memory, since the
// elements of a subgroup matrix cannot be reached otherwise.
#include "linear/gemm-memory.wgsl"

const SUBGROUPS_USED = SUBGROUP_ROWS * SUBGROUP_COLUMNS;
const WORKGROUP = SUBGROUPS_USED * SUBGROUP_SIZE;
const TILE_ROWS = SUBGROUP_ROWS * 4u * MATRIX_ROWS;
const TILE_COLUMNS = SUBGROUP_COLUMNS * 2u * MATRIX_COLUMNS;

// A line is four rows of x or of the weight. Lines of x come first.
const ROW_LINES = TILE_ROWS / 4u;
const LINES = ROW_LINES + TILE_COLUMNS / 4u;
const TILE_QUADS = TILE_K / 4u;
// One line by one quad of columns is a piece. An invocation brings one or two.
const PIECES = LINES * TILE_QUADS;
const_assert PIECES <= 2u * WORKGROUP;

// Sixteen bytes between rows spread the rows of a matrix over the banks.
const PITCH = TILE_QUADS + 1u;
const TILE_SIZE = (TILE_ROWS + TILE_COLUMNS) * PITCH;

// Tiles lie as [BUFFERS][TILE_ROWS of x, TILE_COLUMNS of the weight][PITCH].
var<workgroup> tiles: array<Stored, BUFFERS * TILE_SIZE>;
// Here is one matrix of each subgroup.
var<workgroup> results: array<vec4<f32>, SUBGROUPS_USED * MATRIX_ROWS * MATRIX_COLUMNS / 4u>;

#include "linear/gemm-matrix-unit.wgsl"

struct Piece {
  exists: bool,
  isInput: bool,
  // The four rows of x or of the weight that the piece is of.
  line: vec4<u32>,
  quad: u32,
  // Where the piece begins in a tile.
  place: u32,
}

fn pieceOf(index: u32, firstRow: u32, firstColumn: u32) -> Piece {
  let line = index / TILE_QUADS;
  let quad = index % TILE_QUADS;
  let isInput = line < ROW_LINES;
  let lineRows = vec4(0u, 1u, 2u, 3u) + select(firstColumn + (line - ROW_LINES) * 4u, firstRow + line * 4u, isInput);
  // Rows beyond the last are read from it, computed and thrown away.
  let last = select(params.count, rowCount(), isInput) - 1u;
  return Piece(index < PIECES, isInput, min(lineRows, vec4(last)), quad, line * 4u * PITCH + quad);
}

fn bringPiece(piece: Piece, quad: u32) -> mat4x4<f32> {
  if (!piece.exists) { return mat4x4<f32>(); }
  return bring(piece.isInput, piece.line, quad + piece.quad);
}

fn keepPiece(piece: Piece, values: mat4x4<f32>, at: u32) {
  if (!piece.exists) { return; }
  tiles[at + piece.place] = stored(values[0]);
  tiles[at + piece.place + PITCH] = stored(values[1]);
  tiles[at + piece.place + 2u * PITCH] = stored(values[2]);
  tiles[at + piece.place + 3u * PITCH] = stored(values[3]);
}

// Writes matrix (i, j) of every subgroup from `results` to the output.
fn writeResults(i: u32, j: u32, firstRow: u32, firstColumn: u32, local: u32) {
  workgroupBarrier();
  for (var index = local; index < SUBGROUPS_USED * RESULT_QUADS; index += WORKGROUP) {
    let subgroup = index / RESULT_QUADS;
    let quad = index % RESULT_QUADS;
    let row = (subgroup / SUBGROUP_COLUMNS * 4u + i) * MATRIX_ROWS + quad / (MATRIX_COLUMNS / 4u);
    let column = (subgroup % SUBGROUP_COLUMNS * 2u + j) * MATRIX_COLUMNS + quad % (MATRIX_COLUMNS / 4u) * 4u;
    writeSums(firstRow + row, firstColumn + column, results[index]);
  }
  workgroupBarrier();
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

  let piece0 = pieceOf(local, firstRow, firstColumn);
#if BRINGS == 2
  let piece1 = pieceOf(local + WORKGROUP, firstRow, firstColumn);
#endif
  let ownX = subgroup / SUBGROUP_COLUMNS * 4u * MATRIX_ROWS * PITCH;
  let ownWeight = (TILE_ROWS + subgroup % SUBGROUP_COLUMNS * 2u * MATRIX_COLUMNS) * PITCH;

  var sums00 = Result();
  var sums01 = Result();
  var sums10 = Result();
  var sums11 = Result();
  var sums20 = Result();
  var sums21 = Result();
  var sums30 = Result();
  var sums31 = Result();

  // Step s brings tile s and computes tile s - 1. Behind the last tile are zeros.
  var reading = 0u;
  for (var quad = 0u; quad < INPUT_QUADS + TILE_QUADS; quad += TILE_QUADS) {
    let next0 = bringPiece(piece0, quad);
#if BRINGS == 2
    let next1 = bringPiece(piece1, quad);
#endif
    if (quad > 0u) {
      for (var k = 0u; k < TILE_QUADS; k += MATRIX_K / 4u) {
        let b0 = right(reading + k + ownWeight);
        let b1 = right(reading + k + ownWeight + MATRIX_COLUMNS * PITCH);
        let a0 = left(reading + k + ownX);
        sums00 = multiplyAdd(a0, b0, sums00);
        sums01 = multiplyAdd(a0, b1, sums01);
        let a1 = left(reading + k + ownX + MATRIX_ROWS * PITCH);
        sums10 = multiplyAdd(a1, b0, sums10);
        sums11 = multiplyAdd(a1, b1, sums11);
        let a2 = left(reading + k + ownX + 2u * MATRIX_ROWS * PITCH);
        sums20 = multiplyAdd(a2, b0, sums20);
        sums21 = multiplyAdd(a2, b1, sums21);
        let a3 = left(reading + k + ownX + 3u * MATRIX_ROWS * PITCH);
        sums30 = multiplyAdd(a3, b0, sums30);
        sums31 = multiplyAdd(a3, b1, sums31);
      }
    }
#if BUFFERS == 1
    workgroupBarrier();
#else
    reading = TILE_SIZE - reading;
#endif
    keepPiece(piece0, next0, reading);
#if BRINGS == 2
    keepPiece(piece1, next1, reading);
#endif
    workgroupBarrier();
  }

  let own = subgroup * RESULT_QUADS;
  storeResult(own, sums00);
  writeResults(0u, 0u, firstRow, firstColumn, local);
  storeResult(own, sums01);
  writeResults(0u, 1u, firstRow, firstColumn, local);
  storeResult(own, sums10);
  writeResults(1u, 0u, firstRow, firstColumn, local);
  storeResult(own, sums11);
  writeResults(1u, 1u, firstRow, firstColumn, local);
  storeResult(own, sums20);
  writeResults(2u, 0u, firstRow, firstColumn, local);
  storeResult(own, sums21);
  writeResults(2u, 1u, firstRow, firstColumn, local);
  storeResult(own, sums30);
  writeResults(3u, 0u, firstRow, firstColumn, local);
  storeResult(own, sums31);
  writeResults(3u, 1u, firstRow, firstColumn, local);
}
