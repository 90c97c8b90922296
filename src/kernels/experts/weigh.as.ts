// AssemblyScript. What an expert's product is of, times the expert's weight.

/** y = x * weight over `columns` f32 (a multiple of 4). */
export function weigh(x: usize, y: usize, columns: i32, weight: f32): void {
  const factor = f32x4.splat(weight);
  const bytes = <usize>columns << 2;
  for (let o: usize = 0; o < bytes; o += 16) v128.store(y + o, f32x4.mul(v128.load(x + o), factor));
}

/** y += x * weight over `columns` f32 (a multiple of 4): a bias, times the expert's weight. */
export function add_weighted(x: usize, y: usize, columns: i32, weight: f32): void {
  const factor = f32x4.splat(weight);
  const bytes = <usize>columns << 2;
  for (let o: usize = 0; o < bytes; o += 16) {
    v128.store(y + o, f32x4.add(v128.load(y + o), f32x4.mul(v128.load(x + o), factor)));
  }
}
