// AssemblyScript. Rotary position embedding (Su et al. 2021), the half-split form of GPT-NeoX and Llama: lanes i and
// i + rotary/2 of a head rotate together; those from `rotary` on stay (GPT-J).

/**
 * Rotates x in place: [rows] of [heads][headDim] f32, rows `stride` bytes apart.
 * table: [rows] of cos[rotary/2] then sin[rotary/2], f32.
 */
export function rope(x: usize, stride: usize, table: usize, rows: i32, heads: i32, headDim: i32, rotary: i32): void {
  const half = rotary >> 1;
  const bytes = <usize>half << 2;
  const whole = <usize>(half & ~3) << 2;
  for (let r = 0; r < rows; r++) {
    let a = x;
    const sine = table + bytes;
    for (let h = 0; h < heads; h++) {
      const b = a + bytes;
      let o: usize = 0;
      for (; o < whole; o += 16) {
        const c = v128.load(table + o), s = v128.load(sine + o);
        const u = v128.load(a + o), v = v128.load(b + o);
        v128.store(a + o, f32x4.sub(f32x4.mul(u, c), f32x4.mul(v, s)));
        v128.store(b + o, f32x4.add(f32x4.mul(v, c), f32x4.mul(u, s)));
      }
      for (; o < bytes; o += 4) {
        const c = load<f32>(table + o), s = load<f32>(sine + o);
        const u = load<f32>(a + o), v = load<f32>(b + o);
        store<f32>(a + o, u * c - v * s);
        store<f32>(b + o, v * c + u * s);
      }
      a += <usize>headDim << 2;
    }
    x += stride;
    table += 2 * bytes;
  }
}
