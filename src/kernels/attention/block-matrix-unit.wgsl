// A subgroup's matrices of block-matrix.wgsl: MATRIX_ROWS × MATRIX_K queries or weights, MATRIX_K × MATRIX_COLUMNS keys or
// values, and their product in f32. Needs `stage`, `weights` and `scores`; places count vectors of four.
const RESULT_QUADS = MATRIX_ROWS * MATRIX_COLUMNS / 4u;

#if EMULATED
// This is for adapters without matrix units, to test everything around them: an invocation computes some quads. It holds
// the rows of the left matrix that these need, since a kernel may write other numbers where they were.
const SHARE = (RESULT_QUADS + SUBGROUP_SIZE - 1u) / SUBGROUP_SIZE;
const DEPTH = MATRIX_K / 4u;
alias Stored = vec4<f32>;
alias Left = array<vec4<f32>, SHARE * DEPTH>;
alias Result = array<vec4<f32>, SHARE>;

struct Right {
  at: u32,
  isKeys: bool,
}

var<private> lane: u32;

fn toHalf(numbers: vec4<f32>) -> Stored { return quantizeToF16(numbers); }
#if CACHE == "f16"
fn cachedHalf(words: vec2<u32>) -> Stored { return widenPairs(words); }
#endif

fn quadRow(i: u32) -> u32 { return (lane + i * SUBGROUP_SIZE) / (MATRIX_COLUMNS / 4u); }

fn queryMatrix(at: u32) -> Left {
  var left = Left();
  for (var i = 0u; i < SHARE * DEPTH; i++) {
    left[i] = stage[at + min(quadRow(i / DEPTH), MATRIX_ROWS - 1u) * QUERY_PITCH + i % DEPTH];
  }
  return left;
}

fn weightMatrix(at: u32) -> Left {
  var left = Left();
  for (var i = 0u; i < SHARE * DEPTH; i++) {
    left[i] = weights[at + min(quadRow(i / DEPTH), MATRIX_ROWS - 1u) * WEIGHT_PITCH + i % DEPTH];
  }
  return left;
}

fn keyMatrix(at: u32) -> Right { return Right(at, true); }
fn valueMatrix(at: u32) -> Right { return Right(at, false); }

fn rightQuad(b: Right, k: u32, column: u32) -> vec4<f32> {
  if (!b.isKeys) { return stage[b.at + k * PITCH + column / 4u]; }
  let at = b.at + column * PITCH + k / 4u;
  return vec4(stage[at][k % 4u], stage[at + PITCH][k % 4u], stage[at + 2u * PITCH][k % 4u], stage[at + 3u * PITCH][k % 4u]);
}

fn multiplyAdd(a: Left, b: Right, sums: Result) -> Result {
  var left = a;
  var result = sums;
  for (var i = 0u; i < SHARE; i++) {
    let column = (lane + i * SUBGROUP_SIZE) % (MATRIX_COLUMNS / 4u) * 4u;
    if (quadRow(i) >= MATRIX_ROWS) { break; }
    for (var k = 0u; k < MATRIX_K; k++) {
      result[i] = fma(vec4(left[i * DEPTH + k / 4u][k % 4u]), rightQuad(b, k, column), result[i]);
    }
  }
  return result;
}

fn resultPlace(at: u32, quad: u32) -> u32 {
  return at + quad / (MATRIX_COLUMNS / 4u) * SCORE_PITCH + quad % (MATRIX_COLUMNS / 4u);
}

fn storeResult(at: u32, sums: Result) {
  for (var i = 0u; i < SHARE; i++) {
    let quad = lane + i * SUBGROUP_SIZE;
    if (quad < RESULT_QUADS) { scores[resultPlace(at, quad)] = sums[i]; }
  }
}

fn loadResult(at: u32) -> Result {
  var sums = Result();
  for (var i = 0u; i < SHARE; i++) {
    let quad = lane + i * SUBGROUP_SIZE;
    if (quad < RESULT_QUADS) { sums[i] = scores[resultPlace(at, quad)]; }
  }
  return sums;
}
#else
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
requires subgroup_id;

alias Stored = vec4<f16>;
// Columns come before rows.
alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_ROWS>;
alias Right = subgroup_matrix_right<f16, MATRIX_COLUMNS, MATRIX_K>;
alias Result = subgroup_matrix_result<f32, MATRIX_COLUMNS, MATRIX_ROWS>;

fn toHalf(numbers: vec4<f32>) -> Stored { return vec4<f16>(numbers); }
#if CACHE == "f16"
fn cachedHalf(words: vec2<u32>) -> Stored { return bitcast<vec4<f16>>(words); }
#endif

fn queryMatrix(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&stage, at, QUERY_PITCH); }
fn weightMatrix(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&weights, at, WEIGHT_PITCH); }
// Keys lie row by row, which are the columns of the factor.
fn keyMatrix(at: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&stage, at, PITCH); }
fn valueMatrix(at: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&stage, at, PITCH); }
fn multiplyAdd(a: Left, b: Right, sums: Result) -> Result { return subgroupMatrixMultiplyAccumulate(a, b, sums); }
fn storeResult(at: u32, sums: Result) { subgroupMatrixStore<row_major>(&scores, at, sums, SCORE_PITCH); }
fn loadResult(at: u32) -> Result { return subgroupMatrixLoad<Result, row_major>(&scores, at, SCORE_PITCH); }
#endif
