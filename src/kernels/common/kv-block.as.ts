// AssemblyScript. The KV cache of a layer and slot is a row of blocks of BLOCK positions. Per KV head a block holds K as
// [4 panels][depth][16 positions], then V as [depth / 16 panels][64 positions][16], both ready for the register tile. depth is
// headDim rounded up to 16, zero padded. Numbers are f32, or all f16.

/** Positions in one block. */
export const BLOCK: i32 = 64;

/** Bytes of one KV head in one block of f32. */
@inline
export function headBytes(depth: i32): usize {
  return <usize>(2 * BLOCK * depth) << 2;
}
