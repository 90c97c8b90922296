// Matrix times vector for one token row, as gemv.wgsl computes it, with the same bits: for a matrix of short rows. A workgroup
// walks over groups of OUTPUTS weight rows and holds its chunks of x, times the norm's gain, in registers meanwhile: read once,
// where gemv.wgsl reads them for every group. While it adds up the sums of a group, the weights of the next one are on their
// way. Rows have at most WORKGROUP · UNROLL chunks.
#include "linear/gemv-shared.wgsl"

// Weights of a group that an invocation multiplies.
struct Packed {
  words: array<vec4<u32>, OUTPUTS * UNROLL>,
#if GROUPED
  groups: array<u32, OUTPUTS * UNROLL>,
#endif
}

fn rowStart(group: u32, o: u32) -> u32 { return min(weightRow(group, o), weightRows() - 1u) * WEIGHT_STRIDE; }

fn weightsOf(group: u32, local: u32) -> Packed {
  var packed: Packed;
#for U UNROLL
#if WHOLE_TURNS
  let chunk$U = local + $U * WORKGROUP;
#else
  let chunk$U = min(local + $U * WORKGROUP, CHUNKS - 1u);
#endif
#for O OUTPUTS
  packed.words[$U * OUTPUTS + $O] = weight[rowStart(group, $O) + chunk$U];
#if GROUPED
  packed.groups[$U * OUTPUTS + $O] = groupOfChunk(rowStart(group, $O), chunk$U);
#endif
#endfor
#endfor
  return packed;
}

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
  let groupCount = (weightRows() + OUTPUTS - 1u) / OUTPUTS;
  let row = workgroup.x;
  var next = weightsOf(workgroup.y, local);

#if GATHER
  let xRow = logitRow(row) * X_STRIDE;
#else
  let xRow = row * X_STRIDE;
#endif
  var held: array<Chunk, UNROLL>;
#if GROUPED
  var totals: array<vec4<f32>, UNROLL>;
#endif
#if NORM
  var squared = 0.0;
#endif
#for U UNROLL
  if (local + $U * WORKGROUP < CHUNKS) {
    held[$U] = chunkOfRow(xRow, local + $U * WORKGROUP);
#if NORM
    squared = addProducts(held[$U], held[$U], squared);
    held[$U] = times(held[$U], chunkOfVector(params.gain, local + $U * WORKGROUP));
#endif
#if GROUPED
    totals[$U] = totalOf(held[$U]);
#endif
  }
#endfor

#if NORM
  // Nobody writes this sum again: every group's finished sums have it.
  addUp(OUTPUTS, squared, local
#if SUBGROUPS
    , subgroup, lane, subgroups
#endif
  );
#endif
  for (var group = workgroup.y; group < groupCount; group += workgroups.y) {
    let packed = next;
    if (group + workgroups.y < groupCount) { next = weightsOf(group + workgroups.y, local); }
    // Without its value a variable of a loop's body keeps what it had: so Dawn compiles it.
    var sums = array<f32, OUTPUTS>();
#for U UNROLL
#if !WHOLE_TURNS
    if (local + $U * WORKGROUP < CHUNKS)
#endif
    {
#for O OUTPUTS
#if GROUPED
      sums[$O] = multiplyAddGroup(
        held[$U], totals[$U], packed.words[$U * OUTPUTS + $O], packed.groups[$U * OUTPUTS + $O], sums[$O]);
#else
      sums[$O] = addProducts(held[$U], widenChunk(packed.words[$U * OUTPUTS + $O]), sums[$O]);
#endif
#endfor
    }
#endfor
#for O OUTPUTS
#if FORMAT == "i8-row" || FORMAT == "int4"
    sums[$O] *= rowScale(rowStart(group, $O));
#endif
    addUp($O, sums[$O], local
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
    finish(group, row, row + 1u, local);
  }
}
