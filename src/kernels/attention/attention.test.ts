/**
 * Softmax attention over the blocked KV cache against f64: the decode path (partial states of every block, combined)
 * and the prefill path (running states), with every head dimension and group that models have.
 */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab, type Region } from "../../../test/support/wasm-lab.ts";
import {
  nearestF16,
  normalNumbers,
  randomSource,
  UNIT_ROUNDOFF,
  worstError,
} from "../../../test/support/numbers.ts";
import { biasOf, makeBias, makeSinks } from "../../../test/support/score-biases.ts";
import { PANEL } from "../format.ts";
import { KV_BLOCK, roundUp } from "../../runtime/wasm/plan.ts";
import { slopesOf, type ScoreBias } from "./score-bias.ts";

/** Heads, a cache of `positions` random keys and values, and queries for the last rows. */
interface Case {
  headDim: number;
  kvHeads: number;
  group: number;
  positions: number;
  /** Factor of the queries, for large scores. */
  sharpness?: number;
  /** How many positions a row sees, its own the last; default all. */
  window?: number;
  /** The soft cap of scores; default none. */
  cap?: number;
  /** The kind of the scores' biases; default none. */
  bias?: ScoreBias["kind"];
  /** The sinks of heads; default none. */
  sinks?: Float32Array;
}

interface Data extends Case {
  depth: number;
  scale: number;
  /** Keys (and values), [positions][kvHeads][headDim]. */
  keys: Float32Array;
  values: Float32Array;
  /** KV blocks in the lab's memory. */
  blocks: Region[];
}

const CASES = BUILDS.flatMap((build) => [[build, "f32"] as const, [build, "f16"] as const]);

describe.each(CASES)("%s, a cache of %s", (build, format) => {
  const lab = new WasmLab(build, 16);
  const half = format === "f16" ? 1 : 0;
  /** Numbers as the cache holds them. */
  const held = (numbers: Float32Array): Float32Array => (half ? numbers.map(nearestF16) : numbers);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  function fillCache(shape: Case): Data {
    const { headDim, kvHeads, positions } = shape;
    const random = randomSource(headDim * 1000 + positions * 10 + shape.group);
    const depth = roundUp(headDim, PANEL);
    const row = kvHeads * headDim;
    const keys = normalNumbers(positions * row, random);
    const values = normalNumbers(positions * row, random);
    const blocks = Array.from({ length: Math.ceil(positions / KV_BLOCK) }, () =>
      lab.take((kvHeads * 2 * KV_BLOCK * depth) / (half ? 2 : 1)),
    );
    // What a slot held before must not matter, but the columns that complete `depth` are zero and stay zero.
    for (const block of blocks) {
      const [key, value] = [lab.take(row, NaN), lab.take(row, NaN)];
      for (let p = 0; p < KV_BLOCK; p++) {
        lab.kernels.append(key.address, value.address, kvHeads, headDim, depth, block.address, p, half);
      }
    }
    const [key, value] = [lab.take(row), lab.take(row)];
    for (let p = 0; p < positions; p++) {
      key.f32.set(keys.subarray(p * row, (p + 1) * row));
      value.f32.set(values.subarray(p * row, (p + 1) * row));
      const block = blocks[Math.floor(p / KV_BLOCK)];
      lab.kernels.append(
        key.address,
        value.address,
        kvHeads,
        headDim,
        depth,
        block.address,
        p % KV_BLOCK,
        half,
      );
    }
    return { ...shape, depth, scale: headDim ** -0.5, keys: held(keys), values: held(values), blocks };
  }

  /** softmax(q k / sqrt(headDim)) v over positions [start, visible), in f64; and what f32 may err by. */
  function reference(
    data: Data,
    query: Float32Array,
    visible: number,
    start: number,
  ): { values: Float64Array; allowed: Float64Array } {
    const { headDim, kvHeads, group, keys, scale, cap = 0 } = data;
    const heads = kvHeads * group;
    const biases = data.bias === undefined ? undefined : makeBias(data.bias, heads);
    const values = new Float64Array(heads * headDim);
    const allowed = new Float64Array(heads * headDim);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h / group);
      const at = (p: number): number => (p * kvHeads + kvHead) * headDim;
      const norm = (x: Float32Array, from: number): number => {
        let sum = 0;
        for (let d = 0; d < headDim; d++) {
          sum += x[from + d] ** 2;
        }
        return Math.sqrt(sum);
      };
      let mostAdded = 0;
      const scores = Float64Array.from({ length: visible }, (_, p) => {
        if (p < start) {
          return -Infinity;
        }
        let dot = 0;
        for (let d = 0; d < headDim; d++) {
          dot += query[h * headDim + d] * keys[at(p) + d];
        }
        const score = cap === 0 ? dot * scale : cap * Math.tanh((dot * scale) / cap);
        const added = biasOf(biases?.bias, biases?.table ?? [], h, { key: p, position: visible - 1 });
        mostAdded = Math.max(mostAdded, Math.abs(added));
        return score + added;
      });
      const sink = data.sinks?.[h] ?? -Infinity;
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((sum, weight) => sum + weight, Math.exp(sink - largest));
      let longest = 0;
      for (let p = start; p < visible; p++) {
        longest = Math.max(longest, norm(keys, at(p)));
      }
      // A dot errs by 2 u sqrt(K) |q| |k| (linear.test.ts), a weight by twice that and some ulps of its exponential
      // and its rescaling, the sums by u sqrt(positions): all relative to the largest value that is averaged.
      const score = 2 * Math.sqrt(headDim) * norm(query, h * headDim) * longest * scale;
      // A cap brings scores together, and errs by some ulps of its own; so does the sum with a bias.
      const added = 12 * cap + 2 * mostAdded + (Number.isFinite(sink) ? Math.abs(sink) : 0);
      const relative = UNIT_ROUNDOFF * (2 * (score + added) + 2 * Math.sqrt(visible) + 16);
      for (let d = 0; d < headDim; d++) {
        let most = 0;
        for (let p = start; p < visible; p++) {
          values[h * headDim + d] += (weights[p] / total) * data.values[at(p) + d];
          most = Math.max(most, Math.abs(data.values[at(p) + d]));
        }
        allowed[h * headDim + d] = relative * most;
      }
    }
    return { values, allowed };
  }

  const startOf = ({ window = Infinity }: Data, position: number): number =>
    Math.max(0, position + 1 - window);

  /** Which positions of a block lie in [start, end), as the kernels want it. */
  function visibleIn(start: number, end: number, block: number): number {
    const from = Math.max(start - block * KV_BLOCK, 0);
    const to = Math.min(end - block * KV_BLOCK, KV_BLOCK);
    return from < to ? from * 256 + to : 0;
  }

  /** The record of biases for rows at consecutive positions; 0 where there are none. */
  function biasRecord({ bias: kind, kvHeads, group }: Data, first: number, rows: number): number {
    if (kind === undefined) {
      return 0;
    }
    const heads = kvHeads * group;
    const { bias, table } = makeBias(kind, heads);
    const isTable = bias.kind === "table";
    const numbers = isTable ? lab.numbers(table.subarray(1)) : lab.numbers(slopesOf(bias));
    const record = lab.take(4 + rows);
    const code = isTable ? bias.reach : bias.kind === "linear" ? 0 : -1;
    const stride = isTable ? 4 * (2 * bias.reach + 1) : 4;
    record.i32.set([code, 0, numbers.address, stride, ...Array.from({ length: rows }, (_, r) => first + r)]);
    record.f32[1] = bias.kind === "rounded" ? bias.scale : 1;
    return record.address;
  }

  /** Attends with one row as the decode path does: all blocks from empty states, then combined. */
  function attendRow(data: Data, query: Float32Array, visible: number, start = 0): Float32Array {
    const { headDim, kvHeads, group, depth, scale, blocks, cap = 0 } = data;
    const heads = kvHeads * group;
    const q = lab.numbers(query);
    const packed = lab.take(heads * depth, NaN);
    for (let h = 0; h < kvHeads; h++) {
      const from = q.address + h * group * headDim * 4;
      const to = packed.address + h * group * depth * 4;
      lab.kernels.pack_queries(from, heads * headDim * 4, 1, group, headDim, depth, scale, to);
    }
    const skipped = Math.floor(start / KV_BLOCK);
    const used = Math.ceil(visible / KV_BLOCK) - skipped;
    const record = depth + 4;
    const partials = lab.take(used * heads * record, NaN);
    const counts = lab.take(group);
    const scratch = lab.take(heads * KV_BLOCK, NaN);
    const widened = half ? lab.take(16 * Math.max(depth, KV_BLOCK), NaN).address : 0;
    const bias = biasRecord(data, visible - 1, 1);
    for (let b = 0; b < used; b++) {
      lab.kernels.attend_row(
        packed.address,
        kvHeads,
        group,
        depth,
        blocks[skipped + b].address,
        visibleIn(start, visible, skipped + b),
        counts.address,
        partials.address + b * heads * record * 4,
        scratch.address,
        widened,
        cap,
        bias,
        (skipped + b) * KV_BLOCK,
      );
    }
    const out = lab.take(heads * headDim, NaN);
    const sinks = data.sinks === undefined ? 0 : lab.numbers(data.sinks).address;
    lab.kernels.combine(
      partials.address,
      used,
      heads * record * 4,
      heads,
      headDim,
      depth,
      out.address,
      sinks,
    );
    return out.f32.slice();
  }

  /** Attends with rows at consecutive positions as the prefill path does: block after block into running states. */
  function attendRows(data: Data, queries: Float32Array, first: number, rows: number): Float32Array {
    const { headDim, kvHeads, group, depth, scale, blocks, cap = 0 } = data;
    const heads = kvHeads * group;
    const count = rows * group;
    const stride = heads * headDim + 5;
    const q = lab.take(rows * stride, NaN);
    for (let r = 0; r < rows; r++) {
      q.f32.set(queries.subarray(r * heads * headDim, (r + 1) * heads * headDim), r * stride);
    }
    const packed = lab.take(count * depth);
    const state = lab.take(count * (depth + 4), NaN);
    const visible = lab.take(count);
    const scratch = lab.take(count * (KV_BLOCK + depth + 4), NaN);
    const out = lab.take(rows * stride, NaN);
    const used = Math.ceil((first + rows) / KV_BLOCK);
    const headNumbers = 2 * KV_BLOCK * depth;
    const widened = lab.take(headNumbers, NaN);
    const bias = biasRecord(data, first, rows);
    const sinks = data.sinks === undefined ? 0 : lab.numbers(data.sinks).address;
    const blockOf = (b: number, h: number): number => {
      const address = blocks[b].address + h * headNumbers * (half ? 2 : 4);
      if (half) {
        lab.kernels.widen_half(address, headNumbers, widened.address);
      }
      return half ? widened.address : address;
    };
    for (let h = 0; h < kvHeads; h++) {
      const columns = h * group * headDim * 4;
      lab.kernels.pack_queries(
        q.address + columns,
        stride * 4,
        rows,
        group,
        headDim,
        depth,
        scale,
        packed.address,
      );
      lab.kernels.reset_state(state.address, count, depth);
      for (let b = 0; b < used; b++) {
        for (let m = 0; m < count; m++) {
          const position = first + Math.floor(m / group);
          visible.i32[m] = visibleIn(startOf(data, position), position + 1, b);
        }
        const block = blockOf(b, h);
        lab.kernels.attend(
          packed.address,
          count,
          depth,
          block,
          visible.address,
          state.address,
          scratch.address,
          cap,
          bias,
          h * group,
          group,
          b * KV_BLOCK,
        );
      }
      const own = sinks === 0 ? 0 : sinks + h * group * 4;
      lab.kernels.finish(state.address, rows, group, headDim, depth, out.address + columns, stride * 4, own);
    }
    const rowsOut = Array.from({ length: rows }, (_, r) => [
      ...out.f32.subarray(r * stride, r * stride + heads * headDim),
    ]);
    return Float32Array.from(rowsOut.flat());
  }

  function check(shape: Case): void {
    const data = fillCache(shape);
    const { headDim, kvHeads, group, positions, sharpness = 1 } = data;
    const width = kvHeads * group * headDim;
    const rows = Math.min(positions, 9);
    const first = positions - rows;
    const queries = normalNumbers(rows * width, randomSource(positions + 1), sharpness);
    const many = attendRows(data, queries, first, rows);
    for (let r = 0; r < rows; r++) {
      const query = queries.subarray(r * width, (r + 1) * width);
      const { values, allowed } = reference(data, query, first + r + 1, startOf(data, first + r));
      const one = attendRow(data, query, first + r + 1, startOf(data, first + r));
      for (const [path, actual] of [
        ["decode", one],
        ["prefill", many.subarray(r * width, (r + 1) * width)],
      ] as const) {
        const { ratio, text } = worstError(actual, values, (i) => allowed[i]);
        expect(ratio, `${path}, position ${first + r}: ${text}`).toBeLessThanOrEqual(1);
      }
      expect(many.subarray(r * width, (r + 1) * width), `position ${first + r}, bits`).toEqual(one);
    }
    lab.checkGuards();
    lab.reset();
  }

  test.each([8, 12, 24, 40, 64, 128])("heads of %i", (headDim) => {
    for (const positions of [1, 5, 65, 130]) {
      check({ headDim, kvHeads: 2, group: 3, positions });
    }
  });

  test.each([1, 2, 3, 4, 5])("%i queries of a KV head", (group) => {
    for (const positions of [3, 64, 100]) {
      check({ headDim: 16, kvHeads: 3, group, positions });
    }
  });

  test.each([1, 2, 7, 8, 9, 62, 63, 64, 65, 66, 127, 128, 129, 200])("%i positions", (positions) => {
    check({ headDim: 8, kvHeads: 1, group: 4, positions });
  });

  test.each([1, 2, 8, 63, 64, 65, 100, 130])("a window of %i positions", (window) => {
    for (const positions of [7, 66, 150, 200]) {
      check({ headDim: 12, kvHeads: 2, group: 2, positions, window });
    }
  });

  test.each([30, 300, 3000])("scores of some %i", (sharpness) => {
    for (const positions of [64, 150]) {
      check({ headDim: 8, kvHeads: 2, group: 2, positions, sharpness });
    }
  });

  test.each([0.5, 5, 50])("scores of some 100 with a soft cap of %f", (cap) => {
    for (const positions of [5, 64, 150]) {
      check({ headDim: 8, kvHeads: 2, group: 3, positions, sharpness: 100, window: 100, cap });
    }
  });

  test.each(["linear", "rounded", "table"] as const)("biases: %s", (bias) => {
    for (const positions of [5, 64, 150]) {
      check({ headDim: 8, kvHeads: 2, group: 3, positions, bias });
      check({ headDim: 8, kvHeads: 2, group: 2, positions, sharpness: 100, window: 100, cap: 5, bias });
    }
  });

  test("sinks", () => {
    const sinks = makeSinks(6);
    for (const positions of [5, 64, 150]) {
      check({ headDim: 8, kvHeads: 2, group: 3, positions, sinks });
      check({ headDim: 8, kvHeads: 3, group: 2, positions, sharpness: 100, window: 100, cap: 5, sinks });
      check({ headDim: 8, kvHeads: 2, group: 3, positions, sharpness: 3000, sinks });
    }
    const data = fillCache({ headDim: 8, kvHeads: 2, group: 3, positions: 70 });
    const query = normalNumbers(48, randomSource(5));
    const own = attendRow(data, query, 70);
    const ends = Float32Array.of(1e4, -1e4, 200, -200, 3e38, -Infinity);
    attendRow({ ...data, sinks: ends }, query, 70).forEach((value, i) => {
      if (Math.floor(i / 8) % 2 === 0) {
        expect(Math.abs(value)).toBeLessThan(1e-37);
      } else {
        expect(value).toBe(own[i]);
      }
    });
  });

  test("one position gives its value, exactly", () => {
    const data = fillCache({ headDim: 12, kvHeads: 2, group: 2, positions: 1 });
    const query = normalNumbers(48, randomSource(1));
    const expected = [0, 0, 1, 1].flatMap((head) => [...data.values.subarray(head * 12, head * 12 + 12)]);
    expect([...attendRow(data, query, 1)]).toEqual(expected);
    expect([...attendRows(data, query, 0, 1)]).toEqual(expected);
  });

  test("equal scores average", () => {
    const data = fillCache({ headDim: 8, kvHeads: 1, group: 1, positions: 128 });
    const one = attendRow(data, new Float32Array(8), 128);
    const mean = Float64Array.from({ length: 8 }, (_, d) => {
      let sum = 0;
      for (let p = 0; p < 128; p++) {
        sum += data.values[p * 8 + d];
      }
      return sum / 128;
    });
    expect(worstError(one, mean, () => 1e-6).ratio).toBeLessThanOrEqual(1);
  });

  test("a row has the same bits whatever rows are beside it", () => {
    const data = fillCache({ headDim: 24, kvHeads: 2, group: 3, positions: 140 });
    const width = 6 * 24;
    const queries = normalNumbers(12 * width, randomSource(2));
    const all = attendRows(data, queries, 120, 12);
    for (let r = 0; r < 12; r++) {
      for (const together of [1, 2, 5]) {
        const end = Math.min(12, r + together);
        const part = attendRows(data, queries.subarray(r * width, end * width), 120 + r, end - r);
        expect(part.subarray(0, width)).toEqual(all.subarray(r * width, (r + 1) * width));
      }
    }
  });

  test("NaN in a key or a value shows", () => {
    for (const poison of ["keys", "values"] as const) {
      const data = fillCache({ headDim: 8, kvHeads: 1, group: 1, positions: 70 });
      const [key, value] = [lab.take(8, 1), lab.take(8, 1)];
      (poison === "keys" ? key : value).f32.fill(NaN);
      lab.kernels.append(key.address, value.address, 1, 8, 8, data.blocks[0].address, 3, half);
      const query = normalNumbers(8, randomSource(4));
      expect(attendRow(data, query, 70).every(Number.isNaN)).toBe(true);
      expect(attendRows(data, query, 69, 1).every(Number.isNaN)).toBe(true);
      // Position 2 does not see position 3.
      expect(attendRow(data, query, 3).some(Number.isNaN)).toBe(false);
      lab.reset();
    }
  });

  /** exp(x), x <= 0, through the weight that combine() gives a block whose largest score is x below the other's. */
  function exponentials(xs: Float32Array): Float32Array {
    const record = 12; // depth 8: output, largest score, sum, unused
    const partials = lab.take(2 * xs.length * record);
    xs.forEach((x, i) => {
      partials.f32.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], i * record);
      partials.f32.set([1, 1, 1, 1, 1, 1, 1, 1, x, 0], (xs.length + i) * record);
    });
    const out = lab.take(xs.length * 8);
    lab.kernels.combine(partials.address, 2, xs.length * record * 4, xs.length, 8, 8, out.address, 0);
    return out.f32.filter((_, i) => i % 8 === 0);
  }

  test("exp is within 2 ulp", () => {
    const xs = Float32Array.from({ length: 40_000 }, (_, i) => -(i * 87.3) / 40_000);
    const expected = Float64Array.from(xs, Math.exp);
    const ulp = (value: number): number => 2 ** (Math.floor(Math.log2(value)) - 23);
    const { ratio, text } = worstError(exponentials(xs), expected, (i) => 2 * ulp(expected[i]));
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("exp at the ends", () => {
    expect([...exponentials(Float32Array.of(0, -0, -88, -1000, -3e38, -Infinity))]).toEqual([
      1, 1, 0, 0, 0, 0,
    ]);
  });
});
