// AssemblyScript. Quantised weights as f32: s (q - 128) for int8, d s (q - z / 16) for int4 (layout.as.ts).

import { EIGHT_FIRST, EIGHT_SECOND, FOUR_HIGH, FOUR_LOW } from "./arithmetic.as";
import { INT4, LINES_BYTES, scaleOf, scaleOfByte, zeroOf } from "./layout.as";

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
  for (let from = 0; from < count; from += 32) {
    const second = (from >> 5) & 1;
    const unit = w + <usize>(from >> 6) * (format == INT4 ? LINES_BYTES + 64 : 2 * LINES_BYTES + 64);
    const columns = min(count - from, 32);
    if (format == INT4) {
      widenGroup(second ? FOUR_HIGH : FOUR_LOW, unit, unit + LINES_BYTES, rowScales, out, columns);
    } else {
      const lines = second ? unit + LINES_BYTES : unit;
      widenGroup(second ? EIGHT_SECOND : EIGHT_FIRST, lines, unit + 2 * LINES_BYTES, 0, out, columns);
    }
    out += 32 << 6;
  }
}

/** Widens the first `columns` columns of a group; `at`: its unit's line of scales. */
function widenGroup(kind: i32, lines: usize, at: usize, rowScales: usize, out: usize, columns: i32): void {
  const isFour = kind == FOUR_LOW || kind == FOUR_HIGH;
  const mask = i32x4.splat(isFour ? 15 : 255);
  for (let i: usize = 0; i < 64; i += 16) {
    const words = v128.load(at + i);
    let scale = scaleOf(kind, words), zero = f32x4.splat(128);
    if (isFour) {
      scale = f32x4.mul(scale, v128.load(rowScales + i));
      zero = f32x4.mul(zeroOf(kind, words), f32x4.splat(0.0625));
    }
    for (let c = 0; c < columns; c++) {
      const shift = ((c & 3) << 3) + (kind == FOUR_HIGH ? 4 : 0);
      const q = v128.and(i32x4.shr_u(v128.load(lines + (<usize>(c >> 2) << 6) + i), shift), mask);
      v128.store(out + (<usize>c << 6) + i, f32x4.mul(scale, f32x4.sub(f32x4.convert_i32x4_s(q), zero)));
    }
  }
}
