// A subgroup's matrices: MATRIX_ROWS × MATRIX_K of x, MATRIX_K × MATRIX_COLUMNS of the transposed weight, and their product
// in f32. Needs `tiles` (rows PITCH vectors apart, of x and of the weight) and `results`.
const RESULT_QUADS = MATRIX_ROWS * MATRIX_COLUMNS / 4u;

#if EMULATED
// This is for adapters without matrix units, to test everything around them: an invocation computes some quads.
const SHARE = (RESULT_QUADS + SUBGROUP_SIZE - 1u) / SUBGROUP_SIZE;
alias Left = u32;
alias Right = u32;
alias Result = array<vec4<f32>, SHARE>;

var<private> lane: u32;

fn left(at: u32) -> Left { return at; }
fn right(at: u32) -> Right { return at; }

fn element(at: u32, row: u32, k: u32) -> f32 { return f32(tiles[at + row * PITCH + k / 4u][k % 4u]); }

fn multiplyAdd(a: Left, b: Right, sums: Result) -> Result {
  var result = sums;
  for (var i = 0u; i < SHARE; i++) {
    let row = (lane + i * SUBGROUP_SIZE) / (MATRIX_COLUMNS / 4u);
    let column = (lane + i * SUBGROUP_SIZE) % (MATRIX_COLUMNS / 4u) * 4u;
    if (row >= MATRIX_ROWS) { break; }
    for (var k = 0u; k < MATRIX_K; k++) {
      let weights = vec4(element(b, column, k), element(b, column + 1u, k), element(b, column + 2u, k), element(b, column + 3u, k));
      result[i] = fma(vec4(element(a, row, k)), weights, result[i]);
    }
  }
  return result;
}

fn storeResult(at: u32, sums: Result) {
  for (var i = 0u; i < SHARE; i++) {
    let quad = lane + i * SUBGROUP_SIZE;
    if (quad < RESULT_QUADS) { results[at + quad] = sums[i]; }
  }
}
#else
enable subgroups;
enable chromium_experimental_subgroup_matrix;
requires subgroup_id;

#if MODE == "f16"
alias Component = f16;
#elif MODE == "exact"
alias Component = f32;
#endif
// Columns come before rows.
alias Left = subgroup_matrix_left<Component, MATRIX_K, MATRIX_ROWS>;
alias Right = subgroup_matrix_right<Component, MATRIX_COLUMNS, MATRIX_K>;
alias Result = subgroup_matrix_result<f32, MATRIX_COLUMNS, MATRIX_ROWS>;

// Offsets and strides count vectors of four, the elements of the arrays.
fn left(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, PITCH); }
fn right(at: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, PITCH); }
fn multiplyAdd(a: Left, b: Right, sums: Result) -> Result { return subgroupMatrixMultiplyAccumulate(a, b, sums); }
fn storeResult(at: u32, sums: Result) { subgroupMatrixStore<row_major>(&results, at, sums, MATRIX_COLUMNS / 4u); }
#endif
