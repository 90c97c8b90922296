// AssemblyScript. Keys and values on their way into the KV cache, whose blocks are laid out as common/kv-block.as.ts says.

import { BLOCK } from "../common/kv-block.as";
import { f16Bits } from "../linear/convert.as";

/**
 * Writes one position: key, value [kvHeads][headDim] f32 into `block` at `offset` in 0..63. half: 1 where the block is f16; then
 * numbers are rounded to nearest, ties to even, and finite ones beyond f16's range become the largest of their sign.
 */
export function append(
  key: usize, value: usize, kvHeads: i32, headDim: i32, depth: i32, block: usize, offset: i32, half: i32,
): void {
  const shift: usize = half ? 1 : 2;
  const values = <usize>(BLOCK * depth) << shift;
  for (let h = 0; h < kvHeads; h++) {
    const k = block + (<usize>((offset >> 4) * depth * 16 + (offset & 15)) << shift);
    const v = block + values + (<usize>(offset * 16) << shift);
    for (let d = 0; d < headDim; d++) {
      const from = <usize>d << 2;
      put(k + (<usize>(d * 16) << shift), load<f32>(key + from), half);
      put(v + (<usize>((d >> 4) * BLOCK * 16 + (d & 15)) << shift), load<f32>(value + from), half);
    }
    key += <usize>headDim << 2;
    value += <usize>headDim << 2;
    block += values << 1;
  }
}

@inline
function put(p: usize, value: f32, half: i32): void {
  if (!half) {
    store<f32>(p, value);
    return;
  }
  let bits = f16Bits(value);
  // What is infinite already stays so, and NaN stays NaN: they should show.
  if ((bits & 0x7fff) == 0x7c00 && abs<f32>(value) < Infinity) bits -= 1;
  store<u16>(p, <u16>bits);
}
