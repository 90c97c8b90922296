// AssemblyScript. The loader's transform: 16 rows of words become one panel, word-interleaved: word c of row r goes to
// index 16 c + r. A word is one f32 or two neighbouring 16-bit columns, so one routine serves every format.

/**
 * rows: `stride` bytes apart, `bytes` long each (a multiple of 2; a half word at the end is completed with zero).
 * count: how many of the 16 rows exist; the others become zero. out: 64 x ceil(bytes / 4) bytes.
 */
export function pack_panel(rows: usize, stride: usize, bytes: i32, count: i32, out: usize): void {
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
  if (bytes & 2) {
    for (let r = 0; r < 16; r++) {
      store<u32>(out + (<usize>r << 2), r < count ? <u32>load<u16>(rows + <usize>r * stride + (<usize>c << 2)) : 0);
    }
  }
}

// @ts-ignore: decorator
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
