// AssemblyScript. Adds to attention's scores what the distance of a key says (score-bias.ts has the formulas).
//
// A head's numbers are, by `kind`: LINEAR: its slope; ROUNDED: its slope, a bf16 number; a reach > 0: its table, [2 reach + 1].

/** The values of `kind` beside reaches of tables. */
const LINEAR: i32 = 0;

// By offset in bytes: 0..12: 0 to 3, the lanes; 16: 4; 20 and 24: what rounding to bf16 adds, and keeps; 28: 1.
const LANES: usize = memory.data<f32>([0, 1, 2, 3, 4]);
const ROUNDING: usize = memory.data<u32>([0x7fff, 0xffff0000, 1]);

/** The nearest bf16 numbers of finite ones, ties to even. */
@inline
function bf16Lanes(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), v128.load32_splat(ROUNDING, 8));
  return v128.and(i32x4.add(i32x4.add(x, v128.load32_splat(ROUNDING)), odd), v128.load32_splat(ROUNDING, 4));
}

/**
 * Adds the biases of one head to one query's scores s [width], a multiple of 4, of keys at `start`, start + 1, …; the query is at
 * `position`. Scores that it does not see may become anything. scale: of ROUNDED.
 */
export function addBias(s: usize, width: i32, numbers: usize, kind: i32, scale: f32, start: i32, position: i32): void {
  if (kind > LINEAR) {
    addTable(s, width, numbers, kind, start - position);
    return;
  }
  const end = s + (<usize>width << 2);
  const slope = v128.load32_splat(numbers);
  const four = v128.load32_splat(LANES, 16);
  if (kind == LINEAR) {
    let distance = f32x4.add(f32x4.splat(<f32>(start - position)), v128.load(LANES));
    for (let p = s; p < end; p += 16) {
      v128.store(p, f32x4.add(v128.load(p), f32x4.mul(slope, distance)));
      distance = f32x4.add(distance, four);
    }
    return;
  }
  let key = f32x4.add(f32x4.splat(<f32>start), v128.load(LANES));
  const own = bf16Lanes(f32x4.mul(slope, bf16Lanes(f32x4.splat(<f32>position))));
  const factor = f32x4.splat(scale);
  for (let p = s; p < end; p += 16) {
    const bias = f32x4.sub(bf16Lanes(f32x4.mul(slope, bf16Lanes(key))), own);
    v128.store(p, f32x4.add(v128.load(p), f32x4.mul(bias, factor)));
    key = f32x4.add(key, four);
  }
}

/** Adds a table's numbers; the first key is at `distance` from the query. */
function addTable(s: usize, width: i32, table: usize, reach: i32, distance: i32): void {
  if (distance >= -reach && distance + width - 1 <= reach) {
    const from = table + (<usize>(distance + reach) << 2);
    const bytes = <usize>width << 2;
    for (let o: usize = 0; o < bytes; o += 16) v128.store(s + o, f32x4.add(v128.load(s + o), v128.load(from + o)));
    return;
  }
  for (let k = 0; k < width; k++) {
    const at = min(max(distance + k, -reach), reach) + reach;
    const p = s + (<usize>k << 2);
    store<f32>(p, load<f32>(p) + load<f32>(table + (<usize>at << 2)));
  }
}
