// AssemblyScript. The bias of a linear layer.

/**
 * Every row of y [rows][columns] f32 becomes (or, accumulating, gains) the vector x [columns] f32. columns is a
 * multiple of 4, rows of y are `stride` bytes apart.
 */
export function broadcast(x: usize, y: usize, rows: i32, columns: i32, stride: usize, accumulate: i32): void {
  for (let r = 0; r < rows; r++) {
    const bytes = <usize>columns << 2;
    for (let o: usize = 0; o < bytes; o += 16) {
      const v = v128.load(x + o);
      v128.store(y + o, accumulate ? f32x4.add(v128.load(y + o), v) : v);
    }
    y += stride;
  }
}
