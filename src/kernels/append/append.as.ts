// AssemblyScript. Keys and values on their way into the KV cache, whose blocks are laid out as common/kv-block.as.ts says.

import { BLOCK, headBytes } from "../common/kv-block.as";

/** Writes one position: key, value [kvHeads][headDim] f32 into `block` at `offset` in 0..63. */
export function append(key: usize, value: usize, kvHeads: i32, headDim: i32, depth: i32, block: usize, offset: i32): void {
  for (let h = 0; h < kvHeads; h++) {
    const k = block + (<usize>(offset >> 4) * <usize>depth << 6) + (<usize>(offset & 15) << 2);
    const v = block + (headBytes(depth) >> 1) + (<usize>offset << 6);
    for (let d = 0; d < headDim; d++) {
      const from = <usize>d << 2;
      store<f32>(k + (<usize>d << 6), load<f32>(key + from));
      store<f32>(v + (<usize>((d >> 4) * BLOCK) << 6) + (<usize>(d & 15) << 2), load<f32>(value + from));
    }
    key += <usize>headDim << 2;
    value += <usize>headDim << 2;
    block += headBytes(depth);
  }
}
