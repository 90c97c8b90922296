// AssemblyScript. The loader's transform for the GPU: rows as the checkpoint has them become rows of int8 or int4, of the numbers
// that the CPU's panels have (group.as.ts).
//
// A row lies in chunks of 16 bytes: four words, whose element j (a byte of int8, four bits of int4, from the lowest on) in
// word i is column 4 j + i of the chunk's columns, so that one shift and mask of all four words gives four neighbouring
// columns. Behind the chunks are two bytes a group of 32 columns: the upper half of an f32 scale (int8), or zero and scale
// (int4). Behind these, at a multiple of 4 bytes, int4 has the row's scale, f32.

import { eight, expectFinite, four, scaleOfEight, searchRow, storedOf, wereFinite, widenRow } from "./group.as";
import { INT4 } from "./layout.as";

/**
 * Quantises `count` rows, `stride` bytes apart, into rows `outStride` bytes apart. source: the rows' format, 0 f32, 1 f16,
 * 2 bf16; format: INT8 or INT4. `scratch`: room for the columns rounded up to 32 as f32, and for two f32 a group of 32 of
 * them. Returns 0 where a weight is infinite or NaN, else 1.
 */
export function quantize_rows_gpu(
  rows: usize, stride: usize, columns: i32, count: i32, out: usize, outStride: usize, source: i32, format: i32,
  scratch: usize,
): i32 {
  expectFinite();
  const groups = (columns + 31) >> 5;
  const parameters = scratch + (<usize>groups << 7);
  for (let r = 0; r < count; r++) {
    widenRow(rows, columns, scratch, source);
    memory.fill(scratch + (<usize>columns << 2), 0, (<usize>groups << 7) - (<usize>columns << 2));
    memory.fill(out, 0, outStride);
    if (format == INT4) storeFours(scratch, groups, parameters, out);
    else storeEights(scratch, columns, out);
    rows += stride;
    out += outStride;
  }
  return wereFinite();
}

/** A row as int8. */
function storeEights(x: usize, columns: i32, out: usize): void {
  const chunks = (columns + 15) >> 4;
  let scales = out + (<usize>chunks << 4);
  let scale: f32 = 0.0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    if ((chunk & 1) == 0) {
      const bits = scaleOfEight(x);
      scale = reinterpret<f32>(bits);
      store<u16>(scales, <u16>(bits >> 16));
      scales += 2;
    }
    for (let i = 0; i < 4; i++) {
      let word: u32 = 0;
      for (let j = 0; j < 4; j++) word |= eight(load<f32>(x + (<usize>(4 * j + i) << 2)), scale) << (8 * j);
      store<u32>(out, word);
      out += 4;
    }
    x += 64;
  }
}

/** A row as int4. */
function storeFours(x: usize, groups: i32, parameters: usize, out: usize): void {
  const rowScale = searchRow(x, groups, parameters);
  const ends = out + (<usize>groups << 4);
  for (let g = 0; g < groups; g++) {
    const stored = storedOf(x, load<f32>(parameters), load<f32>(parameters, 4), rowScale);
    store<u16>(ends + (<usize>g << 1), <u16>stored);
    for (let i = 0; i < 4; i++) {
      let word: u32 = 0;
      for (let j = 0; j < 8; j++) word |= four(load<f32>(x + (<usize>(4 * j + i) << 2)), stored, rowScale) << (4 * j);
      store<u32>(out, word);
      out += 4;
    }
    parameters += 8;
    x += 128;
  }
  store<f32>(ends + (<usize>((groups + 1) & ~1) << 1), rowScale);
}
