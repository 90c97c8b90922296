// AssemblyScript. Softmax attention over a KV cache of fixed-size blocks (Dao et al. 2022; split over blocks as in
// flash-decoding, Dao et al. 2023).
//
// The blocks are laid out as common/kv-block.as.ts says.
//
// Queries that share a KV head (grouped-query attention) are handled together: `queries` = rows x group, packed
// [tile of 6][depth][height]. The running state of a query is a record of depth + 4 f32: the unnormalised output, the
// largest score so far, the sum of exponentials, two unused.

import { BLOCK, headBytes } from "../common/kv-block.as";
import { exp1, exp4, maxLanes, sumLanes } from "../common/simd.as";
import { tile, TILE } from "../linear/tile.as";

/**
 * Packs q times `scale` into `out`. q is at the first head of the group: rows `stride` bytes apart, `group`
 * neighbouring heads of headDim f32.
 */
export function pack_queries(
  q: usize, stride: usize, rows: i32, group: i32, headDim: i32, depth: i32, scale: f32, out: usize,
): void {
  const queries = rows * group;
  for (let t = 0; t < queries; t += TILE) {
    const height = min(queries - t, TILE);
    const step = <usize>height << 2;
    for (let m = 0; m < height; m++) {
      const query = t + m;
      let from = q + <usize>(query / group) * stride + (<usize>((query % group) * headDim) << 2);
      let o = out + (<usize>m << 2);
      for (let d = 0; d < depth; d++) {
        store<f32>(o, d < headDim ? load<f32>(from) * scale : 0);
        from += 4;
        o += step;
      }
    }
    out += <usize>depth * step;
  }
}

/** Sets the records of `queries` to "nothing seen yet". */
export function reset_state(state: usize, queries: i32, depth: i32): void {
  for (let m = 0; m < queries; m++) {
    for (let d = 0; d < depth; d += 4) v128.store(state + (<usize>d << 2), f32x4.splat(0));
    state += <usize>depth << 2;
    store<f32>(state, -Infinity);
    store<f32>(state, 0, 4);
    state += 16;
  }
}

/**
 * Folds one KV head of one block into the states. visible: [queries] i32, which of the block's positions each query may
 * see: from << 8 | to, positions from..to - 1 (0..64). scratch: queries x 64 f32 for scores and as much for packed
 * probabilities.
 */
export function attend(
  q: usize, queries: i32, depth: i32, block: usize, visible: usize, state: usize, scratch: usize,
): void {
  let most = 0;
  for (let m = 0; m < queries; m++) most = max(most, load<i32>(visible + (<usize>m << 2)) & 255);
  if (most == 0) return;
  const record = (<usize>depth << 2) + 16;

  const scores = scratch;
  const panel = <usize>depth << 5;
  let a = q;
  for (let t = 0; t < queries; t += TILE) {
    const height = min(queries - t, TILE);
    for (let p = 0; p < most; p += 8) {
      tile(a, block + <usize>(p >> 3) * panel, scores + (<usize>(t * BLOCK + p) << 2), depth, height, BLOCK * 4, false);
    }
    a += <usize>(depth * height) << 2;
  }

  const probabilities = scratch + (<usize>(queries * BLOCK) << 2);
  const width = (most + 3) & ~3;
  let packed = probabilities;
  for (let t = 0; t < queries; t += TILE) {
    const height = min(queries - t, TILE);
    for (let m = 0; m < height; m++) {
      const query = t + m;
      softmax(
        scores + (<usize>(query * BLOCK) << 2), load<i32>(visible + (<usize>query << 2)), width,
        state + <usize>query * record, depth, packed + (<usize>m << 2), <usize>height << 2,
      );
    }
    packed += <usize>(width * height) << 2;
  }

  const values = block + (headBytes(depth) >> 1);
  packed = probabilities;
  for (let t = 0; t < queries; t += TILE) {
    const height = min(queries - t, TILE);
    for (let d = 0; d < depth; d += 8) {
      tile(
        packed, values + (<usize>((d >> 3) * BLOCK) << 5), state + <usize>t * record + (<usize>d << 2), most, height,
        record, true,
      );
    }
    packed += <usize>(width * height) << 2;
  }
}

/**
 * Attends with one row's queries of all KV heads to one block, from empty states: the decode path. q: [kvHeads] packed
 * groups; state: [kvHeads x group] records; visible: one word for all queries, as for attend; counts: scratch of
 * `group` i32.
 */
export function attend_row(
  q: usize, kvHeads: i32, group: i32, depth: i32, block: usize, visible: i32, counts: usize, state: usize, scratch: usize,
): void {
  for (let m = 0; m < group; m++) store<i32>(counts + (<usize>m << 2), visible);
  for (let h = 0; h < kvHeads; h++) {
    reset_state(state, group, depth);
    attend(q, group, depth, block, counts, state, scratch);
    q += <usize>(group * depth) << 2;
    block += headBytes(depth);
    state += <usize>group * ((<usize>depth << 2) + 16);
  }
}

/** Online softmax of one row of scores; writes probabilities `step` bytes apart, zero where invisible. */
@inline
function softmax(s: usize, visible: i32, width: i32, state: usize, depth: i32, out: usize, step: usize): void {
  const from = visible >> 8;
  const to = visible & 255;
  for (let k = 0; k < from; k++) store<f32>(s + (<usize>k << 2), -Infinity);
  for (let k = to; k < width; k++) store<f32>(s + (<usize>k << 2), -Infinity);
  let largest = f32x4.splat(-Infinity);
  for (let k = 0; k < width; k += 4) largest = f32x4.max(largest, v128.load(s + (<usize>k << 2)));
  const tail = state + (<usize>depth << 2);
  const before = load<f32>(tail);
  const now = max(before, maxLanes(largest));
  if (to == 0) {
    for (let k = 0; k < width; k++) store<f32>(out + <usize>k * step, 0);
    return;
  }
  if (now != before) {
    const keep = exp1(before - now);
    store<f32>(tail, now);
    store<f32>(tail, load<f32>(tail, 4) * keep, 4);
    const factor = f32x4.splat(keep);
    for (let d: usize = 0; d < <usize>depth << 2; d += 16) v128.store(state + d, f32x4.mul(v128.load(state + d), factor));
  }
  const shift = f32x4.splat(now);
  let sum = f32x4.splat(0);
  for (let k = 0; k < width; k += 4) {
    const p = exp4(f32x4.sub(v128.load(s + (<usize>k << 2)), shift));
    sum = f32x4.add(sum, p);
    store<f32>(out, f32x4.extract_lane(p, 0));
    store<f32>(out + step, f32x4.extract_lane(p, 1));
    store<f32>(out + 2 * step, f32x4.extract_lane(p, 2));
    store<f32>(out + 3 * step, f32x4.extract_lane(p, 3));
    out += 4 * step;
  }
  store<f32>(tail, load<f32>(tail, 4) + sumLanes(sum), 4);
}

/**
 * Finishes attention: out = the states' output / their sum. out has rows of `group` heads of headDim f32, `stride`
 * bytes apart.
 */
export function finish(state: usize, rows: i32, group: i32, headDim: i32, depth: i32, out: usize, stride: usize): void {
  for (let r = 0; r < rows; r++) {
    let o = out;
    for (let g = 0; g < group; g++) {
      const inverse: f32 = 1 / load<f32>(state + (<usize>depth << 2), 4);
      for (let d = 0; d < headDim; d++) store<f32>(o + (<usize>d << 2), load<f32>(state + (<usize>d << 2)) * inverse);
      o += <usize>headDim << 2;
      state += (<usize>depth << 2) + 16;
    }
    out += stride;
  }
}

/**
 * Combines the partial states of one row, block by block in order: partials are [blocks], `blockStride` bytes apart, of
 * [heads] records, whose third spare word is written. out: [heads][headDim] f32; every number is stored once, when it is
 * final, since a peer may already be reading (and has written the same).
 */
export function combine(
  partials: usize, blocks: i32, blockStride: usize, heads: i32, headDim: i32, depth: i32, out: usize,
): void {
  const record = (<usize>depth << 2) + 16;
  const tail = <usize>depth << 2;
  for (let h = 0; h < heads; h++) {
    const end = partials + <usize>blocks * blockStride;
    let largest: f32 = -Infinity;
    for (let p = partials; p < end; p += blockStride) largest = max(largest, load<f32>(p + tail));
    let total: f32 = 0;
    for (let p = partials; p < end; p += blockStride) {
      const weight = exp1(load<f32>(p + tail) - largest);
      store<f32>(p + tail, weight, 8);
      total += weight * load<f32>(p + tail, 4);
    }
    const inverse: f32 = 1 / total;
    const factor = f32x4.splat(inverse);
    let d = 0;
    for (; d + 4 <= headDim; d += 4) {
      const o = <usize>d << 2;
      let sum = f32x4.splat(0);
      for (let p = partials; p < end; p += blockStride) {
        sum = f32x4.add(sum, f32x4.mul(v128.load(p + o), v128.load32_splat(p + tail, 8)));
      }
      v128.store(out + o, f32x4.mul(sum, factor));
    }
    for (; d < headDim; d++) {
      const o = <usize>d << 2;
      let sum: f32 = 0;
      for (let p = partials; p < end; p += blockStride) sum += load<f32>(p + o) * load<f32>(p + tail, 8);
      store<f32>(out + o, sum * inverse);
    }
    out += <usize>headDim << 2;
    partials += record;
  }
}
