// AssemblyScript. The loader's transform: rows of words become weight tiles of 16 rows by 256 columns, word-interleaved:
// word c of row r of a tile goes to index 16 c + r. Tiles of the same columns lie together, panel after panel, so that a
// product reads the whole matrix as one stream while it needs only 256 columns of the activations at a time. A word is
// one f32, two neighbouring 16-bit columns or four neighbouring bytes. What is stored for a whole row (a scale) lies
// behind all tiles: [panels][16].

import { TILE_COLUMNS } from "../common/simd.as";
import { wordsOf } from "./widen.as";

/**
 * Packs 16 rows, `stride` bytes apart, of which `count` exist (the others become zero), as panel number `panel` of
 * `panels` into the matrix at `out`. A last word that columns do not fill is completed with zeros.
 */
export function pack_panel(
  rows: usize, stride: usize, columns: i32, count: i32, out: usize, panel: i32, panels: i32, format: i32,
): void {
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const tileBytes = <usize>wordsOf(width, format) << 6;
    const bytes = format == 0 ? width << 2 : format == 3 ? width : width << 1;
    pack_tile(rows, stride, bytes, count, out + <usize>panel * tileBytes);
    rows += bytes;
    out += <usize>panels * tileBytes;
  }
}

function pack_tile(rows: usize, stride: usize, bytes: i32, count: i32, out: usize): void {
  const words = bytes >> 2;
  let c = 0;
  if (count == 16) {
    for (; c + 4 <= words; c += 4) {
      const from = rows + (<usize>c << 2);
      transpose4(from, stride, out);
      transpose4(from + 4 * stride, stride, out + 16);
      transpose4(from + 8 * stride, stride, out + 32);
      transpose4(from + 12 * stride, stride, out + 48);
      out += 256;
    }
  }
  for (; c < words; c++) {
    for (let r = 0; r < 16; r++) {
      store<u32>(out + (<usize>r << 2), r < count ? load<u32>(rows + <usize>r * stride + (<usize>c << 2)) : 0);
    }
    out += 64;
  }
  const rest = bytes & 3;
  if (rest != 0) {
    for (let r = 0; r < 16; r++) {
      const from = rows + <usize>r * stride + (<usize>c << 2);
      let word: u32 = 0;
      for (let i = 0; r < count && i < rest; i++) word |= <u32>load<u8>(from + i) << (8 * i);
      store<u32>(out + (<usize>r << 2), word);
    }
  }
}

@inline
function transpose4(from: usize, stride: usize, out: usize): void {
  const r0 = v128.load(from), r1 = v128.load(from + stride);
  const r2 = v128.load(from + 2 * stride), r3 = v128.load(from + 3 * stride);
  const t0 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5), t1 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
  const t2 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7), t3 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<i64>(t0, t1, 0, 2));
  v128.store(out, v128.shuffle<i64>(t0, t1, 1, 3), 64);
  v128.store(out, v128.shuffle<i64>(t2, t3, 0, 2), 128);
  v128.store(out, v128.shuffle<i64>(t2, t3, 1, 3), 192);
}
