// AssemblyScript. The residual sum.

/** y += x over [rows][columns] f32 (columns: a multiple of 4), rows `stride` bytes apart. x is not y. */
export function add(x: usize, y: usize, rows: i32, columns: i32, stride: usize): void {
  for (let r = 0; r < rows; r++) {
    const bytes = <usize>columns << 2;
    for (let o: usize = 0; o < bytes; o += 16) v128.store(y + o, f32x4.add(v128.load(y + o), v128.load(x + o)));
    x += stride;
    y += stride;
  }
}
