// AssemblyScript. Quantised weights as f32: s (q - 128) for int8, d s (q - z / 16) for int4 (layout.as.ts).

import { INT4, LINES_BYTES, scaleOfByte } from "./layout.as";

/** The weight in column `c` of a tile, of the row whose word in the tile's first line is at `p`; rowScale: 1 for int8. */
@inline
export function weightAt(p: usize, c: i32, rowScale: f32, format: i32): f32 {
  const within = c & 63;
  const second = within >> 5;
  if (format == INT4) {
    p += <usize>(c >> 6) * (LINES_BYTES + 64);
    const byte = <i32>load<u8>(p + (<usize>((within & 31) >> 2) << 6) + <usize>(c & 3));
    const stored = <i32>load<u16>(p + LINES_BYTES + (<usize>second << 1));
    const q = second ? byte >> 4 : byte & 15;
    return scaleOfByte(stored >> 8) * rowScale * (<f32>q - <f32>(stored & 0xff) * <f32>0.0625);
  }
  p += <usize>(c >> 6) * (2 * LINES_BYTES + 64);
  const q = <i32>load<u8>(p + (<usize>(within >> 2) << 6) + <usize>(c & 3));
  const scale = reinterpret<f32>(<u32>load<u16>(p + 2 * LINES_BYTES + (<usize>second << 1)) << 16);
  return scale * <f32>(q - 128);
}

/** Widens `count` columns of a tile at `w` to [count][16] f32. `rowScales`: [16] f32 of int4's rows. */
export function widenQuantized(w: usize, rowScales: usize, out: usize, count: i32, format: i32): void {
  for (let r: usize = 0; r < 64; r += 4) {
    const rowScale = format == INT4 ? load<f32>(rowScales + r) : 1;
    for (let c = 0; c < count; c++) {
      store<f32>(out + (<usize>c << 6) + r, weightAt(w + r, c, rowScale, format));
    }
  }
}
