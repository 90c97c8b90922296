// AssemblyScript. The loader's transform for weights that become int8 or int4 (layout.as.ts): 16 rows as the checkpoint has them
// become tiles of a panel. group.as.ts says what numbers they become.

import { PANEL, TILE_COLUMNS } from "../common/simd.as";
import { wordsOf } from "../linear/widen.as";
import { eight, expectFinite, four, scaleOfEight, searchRow, storedOf, wereFinite, widenRow } from "./group.as";
import { INT4, LINES_BYTES } from "./layout.as";

/**
 * Quantises 16 rows, `stride` bytes apart, of which `count` exist (the others become zero), as panel number `panel` of `panels`
 * into the matrix at `out`. source: the rows' format, 0 f32, 1 f16, 2 bf16; format: INT8 or INT4. `scratch`: room for the
 * columns rounded up to 64 as f32, and for two f32 a group of 32 of them. Returns 0 where a weight is infinite or NaN, else 1.
 */
export function quantize_panel(
  rows: usize, stride: usize, columns: i32, count: i32, out: usize, panel: i32, panels: i32, source: i32, format: i32,
  scratch: usize,
): i32 {
  expectFinite();
  const padded = (columns + 63) & ~63;
  const groups = padded >> 5;
  const parameters = scratch + (<usize>padded << 2);
  const rowScales = out + (<usize>(panels * wordsOf(columns, format)) << 6) + (<usize>panel << 6);
  for (let r = 0; r < PANEL; r++) {
    if (r < count) widenRow(rows + <usize>r * stride, columns, scratch, source);
    else memory.fill(scratch, 0, <usize>columns << 2);
    memory.fill(scratch + (<usize>columns << 2), 0, <usize>(padded - columns) << 2);
    let rowScale: f32 = 0.0;
    if (format == INT4) {
      rowScale = searchRow(scratch, groups, parameters);
      store<f32>(rowScales + (<usize>r << 2), rowScale);
    }
    let tiles = out;
    for (let from = 0; from < columns; from += TILE_COLUMNS) {
      const width = min(columns - from, TILE_COLUMNS);
      const tileBytes = <usize>wordsOf(width, format) << 6;
      const tile = tiles + <usize>panel * tileBytes + (<usize>r << 2);
      const x = scratch + (<usize>from << 2);
      const units = (width + 63) >> 6;
      for (let unit = 0; unit < units; unit++) {
        if (format == INT4) {
          const at = parameters + (<usize>((from >> 5) + unit * 2) << 3);
          storeFour(x + (<usize>unit << 8), at, rowScale, tile + <usize>unit * (LINES_BYTES + 64));
        } else storeEight(x + (<usize>unit << 8), tile + <usize>unit * (2 * LINES_BYTES + 64));
      }
      tiles += <usize>panels * tileBytes;
    }
  }
  return wereFinite();
}

/** 64 weights of a row as int8; `out`: the row's word in the unit's first line. */
function storeEight(x: usize, out: usize): void {
  let scales: u32 = 0;
  for (let g = 0; g < 2; g++) {
    const bits = scaleOfEight(x);
    const scale = reinterpret<f32>(bits);
    scales |= g == 0 ? bits >> 16 : bits;
    for (let word = 0; word < 8; word++) {
      let bytes: u32 = 0;
      for (let i = 0; i < 4; i++) bytes |= eight(load<f32>(x + (<usize>(word * 4 + i) << 2)), scale) << (8 * i);
      store<u32>(out, bytes);
      out += 64;
    }
    x += 128;
  }
  store<u32>(out, scales);
}

/** 64 weights of a row as int4; `at`: scale and zero of both groups; `out`: the row's word in the unit's first line. */
function storeFour(x: usize, at: usize, rowScale: f32, out: usize): void {
  const first = storedOf(x, load<f32>(at), load<f32>(at, 4), rowScale);
  const second = storedOf(x + 128, load<f32>(at, 8), load<f32>(at, 12), rowScale);
  for (let word = 0; word < 8; word++) {
    let bytes: u32 = 0;
    for (let i = 0; i < 4; i++) {
      const c = <usize>(word * 4 + i) << 2;
      bytes |= (four(load<f32>(x + c), first, rowScale) | (four(load<f32>(x + 128 + c), second, rowScale) << 4)) << (8 * i);
    }
    store<u32>(out, bytes);
    out += 64;
  }
  store<u32>(out, first | (second << 16));
}
