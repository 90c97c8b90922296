// AssemblyScript. One row of a table that is stored in weight tiles, widened to f32.

import { TILE_COLUMNS } from "../common/simd.as";
import { f16Scale, wordsOf } from "../linear/widen.as";
import { weightAt } from "../quantized/dequantize.as";
import { INT4 } from "../quantized/layout.as";

/** Writes row `row` of the table, which has `panels` panels, to out [columns] f32. format: as for wordsOf. */
export function embed(table: usize, panels: i32, row: i32, columns: i32, out: usize, format: i32): void {
  const scales = table + (<usize>(panels * wordsOf(columns, format)) << 6);
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const tileBytes = <usize>wordsOf(width, format) << 6;
    const first = table + <usize>(row >> 4) * tileBytes + (<usize>(row & 15) << 2);
    if (format == 3) scaleRow(first, width, load<f32>(scales + (<usize>row << 2)), out + (<usize>from << 2));
    else if (format > 3) dequantizeRow(first, width, format == INT4 ? load<f32>(scales + (<usize>row << 2)) : 1, out + (<usize>from << 2), format);
    else widenRow(first, width, out + (<usize>from << 2), format);
    table += <usize>panels * tileBytes;
  }
}

function widenRow(p: usize, columns: i32, out: usize, format: i32): void {
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

function dequantizeRow(p: usize, columns: i32, rowScale: f32, out: usize, format: i32): void {
  for (let c = 0; c < columns; c++) store<f32>(out + (<usize>c << 2), weightAt(p, c, rowScale, format));
}

function scaleRow(p: usize, columns: i32, scale: f32, out: usize): void {
  for (let c = 0; c < columns; c++) {
    const byte = load<i8>(p + (<usize>(c >> 2) << 6) + (<usize>(c & 3)));
    store<f32>(out + (<usize>c << 2), <f32>byte * scale);
  }
}

@inline
function half(word: u32): f32 {
  return reinterpret<f32>((<u32>((<i32>word) >> 3)) & 0x8fffe000) * f32x4.extract_lane(f16Scale(), 0);
}
