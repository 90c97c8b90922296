// Matrix times vector for few token rows: output[r][n] = Σ_k x[r][k] · weight[n][k] (+ bias[n]), with what comes before and
// after it in a decoder layer folded in:
//
// - NORM: x is the residual stream and is normalised on the way. RMSNorm's factor 1/sqrt(mean(x²) + ε) is the same for a
//   whole row, so it multiplies the finished sum; Σ x² is added up in the same walk over x that the product needs.
// - EPILOGUE "add": the residual connection. "gate": weight is [gate; up] and output is activation(gate) · up.
//   "qkv": weight is [q; k; v], or some of them; q and k are rotated (ROPE: the first ROTARY elements of a head, i with i + ROTARY / 2) and k
//   and v appended to the cache of the row's slot.
// - ACTIVATION: of what is stored, or of the gate. SOFT_CAP: what is stored is bounded, as logits may be.
//
// A workgroup computes OUTPUTS weight rows for TILE token rows, so that weights are read once; an invocation has every
// WORKGROUP-th chunk of a row, UNROLL of them a turn. Dispatch (token tiles, groups of weight rows, groups again where one
// dimension is too small): tiles of the same weights run side by side.
#include "linear/gemv-shared.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
#if SUBGROUPS
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(num_subgroups) subgroups: u32,
#endif
) {
  let group = workgroup.y + workgroup.z * workgroups.y;
  let firstRow = workgroup.x * TILE;
  // Rows beyond the last are computed from it and thrown away. A tile of one row is never beyond it, so that a decoded token's
  // reads wait for nothing.
  var xRow: array<u32, TILE>;
#if TILE == 1
  const rowsHere = 1u;
#if GATHER
  xRow[0] = logitRow(firstRow) * X_STRIDE;
#else
  xRow[0] = firstRow * X_STRIDE;
#endif
#else
#if GATHER
  let rowsHere = logitRowCount();
#else
  let rowsHere = rowCount();
#endif
  let lastRow = max(rowsHere, 1u) - 1u;
#for T TILE
#if GATHER
  xRow[$T] = logitRow(min(firstRow + $T, lastRow)) * X_STRIDE;
#else
  xRow[$T] = min(firstRow + $T, lastRow) * X_STRIDE;
#endif
#endfor
#endif
  var wRow: array<u32, OUTPUTS>;
#for O OUTPUTS
  wRow[$O] = min(weightRow(group, $O), weightRows() - 1u) * WEIGHT_STRIDE;
#endfor

  var sums: array<f32, SUMS>;
  for (var turn = local; turn < CHUNKS; turn += WORKGROUP * UNROLL) {
    // All weights of a turn are on their way before the first of them is used.
    var packed: array<vec4<u32>, OUTPUTS * UNROLL>;
#if GROUPED
    var groups: array<u32, OUTPUTS * UNROLL>;
#endif
#for U UNROLL
#if WHOLE_TURNS
    let chunk$U = turn + $U * WORKGROUP;
#else
    let chunk$U = min(turn + $U * WORKGROUP, CHUNKS - 1u);
#endif
#for O OUTPUTS
    packed[$U * OUTPUTS + $O] = weight[wRow[$O] + chunk$U];
#if GROUPED
    groups[$U * OUTPUTS + $O] = groupOfChunk(wRow[$O], chunk$U);
#endif
#endfor
#endfor
#for U UNROLL
#if !WHOLE_TURNS
    if (turn + $U * WORKGROUP >= CHUNKS) { break; }
#endif
    {
#if NORM
      let gain = chunkOfVector(params.gain, chunk$U);
#endif
#if !GROUPED
#for O OUTPUTS
      let weight$O = widenChunk(packed[$U * OUTPUTS + $O]);
#endfor
#endif
#for T TILE
      {
        var xs = chunkOfRow(xRow[$T], chunk$U);
#if NORM
        sums[OUTPUTS * TILE + $T] = addProducts(xs, xs, sums[OUTPUTS * TILE + $T]);
        xs = times(xs, gain);
#endif
#if GROUPED
        let total = totalOf(xs);
#endif
#for O OUTPUTS
#if GROUPED
        sums[$O * TILE + $T] =
          multiplyAddGroup(xs, total, packed[$U * OUTPUTS + $O], groups[$U * OUTPUTS + $O], sums[$O * TILE + $T]);
#else
        sums[$O * TILE + $T] = addProducts(xs, weight$O, sums[$O * TILE + $T]);
#endif
#endfor
      }
#endfor
    }
#endfor
  }
#for O OUTPUTS
#if FORMAT == "i8-row" || FORMAT == "int4"
  let scale$O = rowScale(wRow[$O]);
#for T TILE
  sums[$O * TILE + $T] *= scale$O;
#endfor
#endif
#endfor
#for S SUMS
  addUp($S, sums[$S], local
#if SUBGROUPS
    , subgroup, lane, subgroups
#endif
  );
#endfor
#if SUBGROUPS
  finishSums(local, subgroups);
#else
  finishSums(local);
#endif
  finish(group, firstRow, rowsHere, local);
}
