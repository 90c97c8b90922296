// A pure read: the XOR of all words of a buffer, one partial result a workgroup. What decoding is compared with.
@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> partials: array<u32>; // one a workgroup

var<workgroup> own: array<vec4<u32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let count = arrayLength(&words);
  let stride = workgroups.x * WORKGROUP;
  var i = workgroup.x * WORKGROUP + local;
  // Four loads that do not wait for one another.
  var a = vec4(0u);
  var b = vec4(0u);
  var c = vec4(0u);
  var d = vec4(0u);
  for (; i + 3u * stride < count; i += 4u * stride) {
    a ^= words[i];
    b ^= words[i + stride];
    c ^= words[i + 2u * stride];
    d ^= words[i + 3u * stride];
  }
  for (; i < count; i += stride) { a ^= words[i]; }
  own[local] = a ^ b ^ c ^ d;
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { own[local] ^= own[local + half]; }
  }
  if (local == 0u) { partials[workgroup.x] = own[0].x ^ own[0].y ^ own[0].z ^ own[0].w; }
}
