// AssemblyScript. One row of a table that is stored in row panels, widened to f32.

import { f16Scale } from "../linear/widen.as";

/** table: first panel; row: within the table. format: 0 f32, 1 f16, 2 bf16. out: [columns] f32. */
export function embed(table: usize, row: i32, columns: i32, out: usize, format: i32): void {
  const words = format == 0 ? columns : (columns + 1) >> 1;
  let p = table + ((<usize>(row >> 4) * <usize>words) << 6) + (<usize>(row & 15) << 2);
  if (format == 0) {
    for (let c = 0; c < columns; c++) {
      store<f32>(out + (<usize>c << 2), load<f32>(p));
      p += 64;
    }
    return;
  }
  for (let c = 0; c < columns; c += 2) {
    const word = load<u32>(p);
    const o = out + (<usize>c << 2);
    if (format == 2) {
      store<u32>(o, word << 16);
      if (c + 1 < columns) store<u32>(o, word & 0xffff0000, 4);
    } else {
      store<f32>(o, half(word << 16));
      if (c + 1 < columns) store<f32>(o, half(word), 4);
    }
    p += 64;
  }
}

// @ts-ignore: decorator
@inline
function half(word: u32): f32 {
  return reinterpret<f32>((<u32>((<i32>word) >> 3)) & 0x8fffe000) * f32x4.extract_lane(f16Scale(), 0);
}
