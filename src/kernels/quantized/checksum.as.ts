// AssemblyScript. A sum by which a copy of packed weights is told from a damaged one; no defence against whoever forges it.

// An odd multiplier (MurmurHash3's) in every lane, and what the lanes are joined by.
const FACTORS: usize = memory.data<u32>([0x85ebca6b, 0x85ebca6b, 0x85ebca6b, 0x85ebca6b]);

/**
 * The sum, modulo 2^32, over `count` tiles of `bytes` bytes (a multiple of 64) from `p` on, of each tile's hash times 2 i + 1,
 * where i is the tile's number, `first` and up: parts of a matrix may be summed anywhere, and then together.
 */
export function checksum(p: usize, bytes: i32, count: i32, first: i32): i32 {
  const factor = v128.load(FACTORS);
  let sum = 0;
  for (let tile = first; tile < first + count; tile++) {
    let h0 = i32x4.splat(1), h1 = i32x4.splat(2), h2 = i32x4.splat(3), h3 = i32x4.splat(4);
    const end = p + <usize>bytes;
    for (; p < end; p += 64) {
      h0 = i32x4.add(i32x4.mul(h0, factor), v128.load(p));
      h1 = i32x4.add(i32x4.mul(h1, factor), v128.load(p, 16));
      h2 = i32x4.add(i32x4.mul(h2, factor), v128.load(p, 32));
      h3 = i32x4.add(i32x4.mul(h3, factor), v128.load(p, 48));
    }
    h0 = i32x4.add(i32x4.mul(h0, factor), h1);
    h2 = i32x4.add(i32x4.mul(h2, factor), h3);
    h0 = i32x4.add(i32x4.mul(h0, factor), h2);
    let hash = i32x4.extract_lane(h0, 0);
    hash = hash * 0x5bd1e995 + i32x4.extract_lane(h0, 1);
    hash = hash * 0x5bd1e995 + i32x4.extract_lane(h0, 2);
    hash = hash * 0x5bd1e995 + i32x4.extract_lane(h0, 3);
    sum += (hash ^ (hash >>> 15)) * (2 * tile + 1);
  }
  return sum;
}
