// AssemblyScript. Softmax attention over a KV cache of fixed-size blocks (Dao et al. 2022; split over blocks as in
// flash-decoding, Dao et al. 2023).
//
// The blocks are laid out as common/kv-block.as.ts says.
//
// Queries that share a KV head (grouped-query attention) are handled together: `queries` = rows x group, packed
// [tile][depth][height], heights as heightOf says. The state of a query is a record of depth + 4 f32: the unnormalised
// output, the largest score, the sum of exponentials, two spare.
//
// The order of additions is the same however rows are cut: every block gives a partial state that begins with nothing, and
// partial states are merged from left to right, whoever computed them. One row does all blocks first and merges them at once
// (attend_row, combine), many rows merge after each block (attend); `merge` below is the formula of both.
//
// A head may have a sink (gpt-oss; OpenAI 2025, https://arxiv.org/abs/2508.10925): a number that joins the softmax as one more
// score, which no scale, cap or bias changes and which has no value. It joins last: when all blocks are merged, it adds to the
// sum of exponentials (withSink), and so depends on no cut either.

import { BLOCK, headBytes } from "../common/kv-block.as";
import { exp1, exp4, madd, maxLanes, sumLanes } from "../common/simd.as";
import { softCap4 } from "../common/tanh.as";
import { heightOf, tileF32, tileScores, zeros } from "../linear/tile.as";
import { addBias } from "./score-bias.as";
import { widen_half } from "./widen-half.as";

/**
 * Packs q times `scale` into `out`. q is at the first head of the group: rows `stride` bytes apart, `group`
 * neighbouring heads of headDim f32.
 */
export function pack_queries(
  q: usize, stride: usize, rows: i32, group: i32, headDim: i32, depth: i32, scale: f32, out: usize,
): void {
  const queries = rows * group;
  for (let t = 0; t < queries; ) {
    const height = heightOf(queries - t);
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
    t += height;
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

/** The positions of a block that a query sees: from << 8 | to, positions from..to - 1 (0..64). */
@inline
function visibleTo(visible: usize, query: i32): i32 {
  return load<i32>(visible + (<usize>query << 2));
}

/**
 * The partial states of `queries` over one KV head of one block, from nothing. visible: [queries] i32, see visibleTo;
 * scores: scratch of queries x 64 f32; widened: 0, or, where the block is f16, scratch of a panel of f32, 16 x max(depth, 64).
 * A query that sees nothing gets a largest score of -infinity. cap: the soft cap of scores, 0 for none. bias: 0 for none, or a
 * record (see biasScores); the queries are rows of `group` heads from `head` on; start: position of the block's first key.
 */
function attendBlock(
  q: usize, queries: i32, depth: i32, block: usize, visible: usize, most: i32, partial: usize, scores: usize,
  widened: usize, cap: f32, bias: usize, head: i32, group: i32, start: i32,
): void {
  const record = (<usize>depth << 2) + 16;
  const panel = <usize>depth << 6;
  for (let p = 0; p < most; p += 16) {
    let keys = block + <usize>(p >> 4) * (widened ? panel >> 1 : panel);
    if (widened) {
      widen_half(keys, depth * 16, widened);
      keys = widened;
    }
    let a = q;
    for (let t = 0; t < queries; ) {
      const height = heightOf(queries - t);
      const out = scores + (<usize>(t * BLOCK + p) << 2);
      tileF32(height, a, <usize>height << 2, keys, 64, depth, out, BLOCK * 4, zeros(), 0, 0);
      a += <usize>(depth * height) << 2;
      t += height;
    }
  }

  const width = (most + 7) & ~7;
  let s = scores;
  let tail = partial + (<usize>depth << 2);
  for (let m = 0; m < queries; m++) {
    if (cap != 0) capScores(s, width, cap);
    if (bias != 0) biasScores(s, width, bias, head + m % group, m / group, start);
    softmax(s, visibleTo(visible, m), width, tail);
    s += BLOCK * 4;
    tail += record;
  }

  const values = block + (headBytes(depth) >> (widened ? 2 : 1));
  for (let d = 0; d < depth; d += 16) {
    let panelOfValues = values + (<usize>((d >> 4) * BLOCK) << (widened ? 5 : 6));
    if (widened) {
      widen_half(panelOfValues, most * 16, widened);
      panelOfValues = widened;
    }
    for (let t = 0; t < queries; ) {
      const height = heightOf(queries - t);
      const out = partial + <usize>t * record + (<usize>d << 2);
      tileScores(height, scores + (<usize>(t * BLOCK) << 2), 4, panelOfValues, 64, most, out, record, zeros(), 0, 0);
      t += height;
    }
  }
}

/**
 * Adds the bias of a head and a row to one query's scores s [width]. A record of biases: i32 kind and f32 scale (as for addBias), u32
 * address of the numbers of head 0, u32 bytes from one head's to the next one's, then i32 positions, one a row.
 */
function biasScores(s: usize, width: i32, bias: usize, head: i32, row: i32, start: i32): void {
  const numbers = <usize>load<u32>(bias, 8) + <usize>head * <usize>load<u32>(bias, 12);
  const position = load<i32>(bias + (<usize>row << 2), 16);
  addBias(s, width, numbers, load<i32>(bias), load<f32>(bias, 4), start, position);
}

/** Caps one query's scores s [width], a multiple of 4; those that it does not see may be anything. */
function capScores(s: usize, width: i32, cap: f32): void {
  const end = s + (<usize>width << 2);
  const limit = f32x4.splat(cap);
  for (let p = s; p < end; p += 16) v128.store(p, softCap4(v128.load(p), limit));
}

/**
 * Makes probabilities, relative to the largest score, of one query's scores s [width] in place, zero where it sees nothing; the
 * largest score and the sum go to `tail`. width is a multiple of 8.
 */
@inline
function softmax(s: usize, visible: i32, width: i32, tail: usize): void {
  const from = visible >> 8;
  const to = visible & 255;
  for (let k = 0; k < from; k++) store<f32>(s + (<usize>k << 2), -Infinity);
  for (let k = to; k < width; k++) store<f32>(s + (<usize>k << 2), -Infinity);
  if (to == 0) {
    for (let k = 0; k < width; k++) store<f32>(s + (<usize>k << 2), 0);
    store<f32>(tail, -Infinity);
    store<f32>(tail, 0, 4);
    return;
  }
  const end = s + (<usize>width << 2);
  let m0 = v128.load(s), m1 = v128.load(s, 16);
  for (let p = s + 32; p < end; p += 32) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  const largest = maxLanes(f32x4.pmax(m0, m1));
  store<f32>(tail, largest);
  const shift = v128.load32_splat(tail);
  let s0 = v128.load(zeros()), s1 = v128.load(zeros(), 16);
  for (let p = s; p < end; p += 32) {
    const p0 = exp4(f32x4.sub(v128.load(p), shift)), p1 = exp4(f32x4.sub(v128.load(p, 16), shift));
    s0 = f32x4.add(s0, p0);
    s1 = f32x4.add(s1, p1);
    v128.store(p, p0);
    v128.store(p, p1, 16);
  }
  store<f32>(tail, sumLanes(f32x4.add(s0, s1)), 4);
}

/**
 * Folds one KV head of one block of f32 into the states. visible: [queries] i32, see visibleTo; scratch: queries x 64 f32, then
 * `queries` records; cap, bias, head, group, start: as for attendBlock.
 */
export function attend(
  q: usize, queries: i32, depth: i32, block: usize, visible: usize, state: usize, scratch: usize, cap: f32, bias: usize,
  head: i32, group: i32, start: i32,
): void {
  let most = 0;
  for (let m = 0; m < queries; m++) most = max(most, visibleTo(visible, m) & 255);
  if (most == 0) return;
  let partial = scratch + (<usize>(queries * BLOCK) << 2);
  attendBlock(q, queries, depth, block, visible, most, partial, scratch, 0, cap, bias, head, group, start);
  const bytes = <usize>depth << 2;
  for (let m = 0; m < queries; m++) {
    const largest = load<f32>(partial + bytes);
    if (largest != -Infinity) {
      const before = load<f32>(state + bytes);
      const now = max(before, largest);
      const keep = exp1(before - now), weight = exp1(largest - now);
      store<f32>(state + bytes, now);
      store<f32>(state + bytes, load<f32>(state + bytes, 4) * keep + load<f32>(partial + bytes, 4) * weight, 4);
      const k = f32x4.splat(keep), w = f32x4.splat(weight);
      for (let o: usize = 0; o < bytes; o += 32) {
        const v0 = merge(v128.load(state + o), k, v128.load(partial + o), w);
        const v1 = merge(v128.load(state + o, 16), k, v128.load(partial + o, 16), w);
        v128.store(state + o, v0);
        v128.store(state + o, v1, 16);
      }
    }
    state += bytes + 16;
    partial += bytes + 16;
  }
}

/** What a partial state, times its weight, adds to a state, times what is kept of it. */
@inline
function merge(state: v128, keep: v128, partial: v128, weight: v128): v128 {
  return madd(partial, weight, f32x4.mul(state, keep));
}

/**
 * Attends with one row's queries of all KV heads to one block, from empty states: the decode path. q: [kvHeads] packed
 * groups; state: [kvHeads x group] records; visible: one word for all queries, as for attend; counts: scratch of
 * `group` i32; scratch: group x 64 f32; widened: 0 where the block is f32, else as for attendBlock; cap, bias, start: as there.
 */
export function attend_row(
  q: usize, kvHeads: i32, group: i32, depth: i32, block: usize, visible: i32, counts: usize, state: usize, scratch: usize,
  widened: usize, cap: f32, bias: usize, start: i32,
): void {
  for (let m = 0; m < group; m++) store<i32>(counts + (<usize>m << 2), visible);
  for (let h = 0; h < kvHeads; h++) {
    attendBlock(
      q, group, depth, block, counts, visible & 255, state, scratch, widened, cap, bias, h * group, group, start,
    );
    q += <usize>(group * depth) << 2;
    block += headBytes(depth) >> (widened ? 1 : 0);
    state += <usize>group * ((<usize>depth << 2) + 16);
  }
}

/**
 * A sum of exponentials relative to `largest`, with that of a sink. Where the sink is the larger one by 88 and more, the
 * exponential stays where f32 ends, and what the sum divides is nearly 0.
 */
@inline
function withSink(sum: f32, largest: f32, sink: f32): f32 {
  return sum + exp1(sink - largest);
}

/**
 * Finishes attention: out = the states' output / their sum. out has rows of `group` heads of headDim f32, `stride`
 * bytes apart. sinks: those of the group's heads, f32; 0: none.
 */
export function finish(
  state: usize, rows: i32, group: i32, headDim: i32, depth: i32, out: usize, stride: usize, sinks: usize,
): void {
  for (let r = 0; r < rows; r++) {
    let o = out;
    for (let g = 0; g < group; g++) {
      const tail = state + (<usize>depth << 2);
      let sum = load<f32>(tail, 4);
      if (sinks != 0) sum = withSink(sum, load<f32>(tail), load<f32>(sinks + (<usize>g << 2)));
      const inverse: f32 = 1 / sum;
      for (let d = 0; d < headDim; d++) store<f32>(o + (<usize>d << 2), load<f32>(state + (<usize>d << 2)) * inverse);
      o += <usize>headDim << 2;
      state += (<usize>depth << 2) + 16;
    }
    out += stride;
  }
}

/**
 * Combines the partial states of one row, block by block in order: partials are [blocks], `blockStride` bytes apart, of
 * [heads] records, whose spare words are written. out: [heads][headDim] f32; every number is stored once, when it is
 * final, since a peer may already be reading (and has written the same). sinks: [heads] f32; 0: none.
 */
export function combine(
  partials: usize, blocks: i32, blockStride: usize, heads: i32, headDim: i32, depth: i32, out: usize, sinks: usize,
): void {
  const record = (<usize>depth << 2) + 16;
  const tail = <usize>depth << 2;
  for (let h = 0; h < heads; h++) {
    const end = partials + <usize>blocks * blockStride;
    let largest: f32 = -Infinity;
    let total: f32 = 0;
    for (let p = partials; p < end; p += blockStride) {
      const now = max(largest, load<f32>(p + tail));
      const keep = exp1(largest - now), weight = exp1(load<f32>(p + tail) - now);
      store<f32>(p + tail, keep, 8);
      store<f32>(p + tail, weight, 12);
      total = total * keep + load<f32>(p + tail, 4) * weight;
      largest = now;
    }
    if (sinks != 0) total = withSink(total, largest, load<f32>(sinks + (<usize>h << 2)));
    const inverse: f32 = 1 / total;
    const factor = f32x4.splat(inverse);
    for (let d = 0; d < headDim; d += 16) {
      const o = <usize>d << 2;
      let s0 = v128.load(zeros()), s1 = v128.load(zeros(), 16), s2 = v128.load(zeros(), 32), s3 = v128.load(zeros(), 48);
      for (let p = partials; p < end; p += blockStride) {
        const keep = v128.load32_splat(p + tail, 8), weight = v128.load32_splat(p + tail, 12);
        const q = p + o;
        s0 = merge(s0, keep, v128.load(q), weight);
        s1 = merge(s1, keep, v128.load(q, 16), weight);
        s2 = merge(s2, keep, v128.load(q, 32), weight);
        s3 = merge(s3, keep, v128.load(q, 48), weight);
      }
      s0 = f32x4.mul(s0, factor);
      s1 = f32x4.mul(s1, factor);
      s2 = f32x4.mul(s2, factor);
      s3 = f32x4.mul(s3, factor);
      const at = out + o;
      if (d + 16 <= headDim) {
        v128.store(at, s0);
        v128.store(at, s1, 16);
        v128.store(at, s2, 32);
        v128.store(at, s3, 48);
      } else {
        storeSome(at, s0, headDim - d);
        storeSome(at + 16, s1, headDim - d - 4);
        storeSome(at + 32, s2, headDim - d - 8);
        storeSome(at + 48, s3, headDim - d - 12);
      }
    }
    out += <usize>headDim << 2;
    partials += record;
  }
}

/** Stores the first `count` lanes, at most four. */
@inline
function storeSome(p: usize, v: v128, count: i32): void {
  if (count > 0) store<f32>(p, f32x4.extract_lane(v, 0));
  if (count > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
  if (count > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
  if (count > 3) store<f32>(p, f32x4.extract_lane(v, 3), 12);
}
