import { beforeAll, describe, expect, test } from "vitest";
import { openGolden, type GoldenModel } from "../../../test/support/golden.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { PANEL, panelBytes } from "../../kernels/format.ts";
import {
  columnRange,
  panelRange,
  planBytes,
  planMemory,
  roundUp,
  workBytes,
  type MemoryPlan,
  type PlanOptions,
} from "./plan.ts";

const OPTIONS: PlanOptions = { threads: 2, maxRows: 64, slots: 1, contextLength: 500 };

describe("planMemory", () => {
  let golden: GoldenModel;
  let bf16: GoldenModel;
  beforeAll(async () => {
    [golden, bf16] = await Promise.all([openGolden("smollm3"), openGolden("smollm3-bf16")]);
  });

  const plan = (options: Partial<PlanOptions> = {}, model = golden): MemoryPlan =>
    planMemory(model.program, model.checkpoint, { ...OPTIONS, ...options });

  /** Every range of bytes that a plan gives away, by bank. */
  function rangesOf(made: MemoryPlan): { what: string; start: number; end: number }[][] {
    const { banks, matrices, vectors, kv, maxRows, strides, blockBytes, threads } = made;
    const ranges = banks.map(({ buffers }) => [
      { what: "constants of the kernels", start: 0, end: 65536 },
      ...Object.entries(buffers).map(([name, start]) => ({
        what: name,
        start,
        end: start + maxRows * strides[name],
      })),
    ]);
    // Scratch regions tell where they begin; all but those that are empty end where the next begins.
    banks.forEach(({ scratch }, bank) => {
      const { packedBytes, ropes, ...addresses } = scratch;
      const tables = Object.fromEntries(ropes.map((start, i) => [`rope ${i}`, start]));
      const empty = [
        ...(made.kvHalf ? [] : ["half"]),
        ...(made.productStride > 0 ? [] : ["weighted", "gathered", "products"]),
      ];
      for (const [name, start] of Object.entries({ ...addresses, ...tables })) {
        const bytes = name === "packed" ? packedBytes : empty.includes(name) ? 0 : 64;
        ranges[bank].push({ what: name, start, end: start + bytes });
      }
    });
    for (const [name, { rows, columns, format, bank, offset }] of Object.entries(matrices)) {
      const shares = Array.from({ length: threads }, (_, index) => panelRange(rows, index, threads));
      const most = Math.max(...shares.map(({ start, end }) => end - start));
      ranges[bank].push({ what: name, start: offset, end: offset + most * panelBytes(format, columns) });
    }
    for (const [name, { length, bank, offset }] of Object.entries(vectors)) {
      ranges[bank].push({ what: name, start: offset, end: offset + length * 4 });
    }
    kv.forEach(({ bank, offset, blocks }, layer) =>
      ranges[bank].push({
        what: `cache of layer ${layer}`,
        start: offset,
        end: offset + blocks * blockBytes,
      }),
    );
    return ranges;
  }

  function checkRanges(made: MemoryPlan, bankLimit: number): void {
    rangesOf(made).forEach((ranges, bank) => {
      expect(made.banks[bank].bytes % 65536).toBe(0);
      expect(made.banks[bank].bytes).toBeLessThanOrEqual(roundUp(bankLimit, 65536));
      ranges.sort((a, b) => a.start - b.start);
      ranges.forEach((range, i) => {
        const next = i + 1 < ranges.length ? ranges[i + 1].start : made.banks[bank].bytes;
        expect(range.end, `${range.what} of bank ${bank} runs into what follows`).toBeLessThanOrEqual(next);
        expect(range.start % 16, `${range.what} is not aligned`).toBe(0);
      });
    });
  }

  test.each([1, 2, 3, 4, 5, 6, 7])("%i threads: nothing overlaps, everything is placed", (threads) => {
    for (const model of [golden, bf16]) {
      for (const slots of [1, 3]) {
        const made = plan({ threads, slots }, model);
        checkRanges(made, made.banks[0].bytes);
        expect(Object.keys(made.matrices).sort()).toEqual([...model.program.matrices.keys()].sort());
        expect(Object.keys(made.vectors).sort()).toEqual([...model.program.vectors.keys()].sort());
        expect(made.kv).toHaveLength(8);
        expect(made.banks).toHaveLength(1);
      }
    }
  });

  test("a context longer than the blocks of all workers has a block for every position", () => {
    for (const threads of [1, 2, 3, 7]) {
      for (const contextLength of [1, 63, 64, 65, 449, 1000]) {
        const made = plan({ threads, contextLength });
        expect(made.blocks * 64).toBeGreaterThanOrEqual(contextLength);
        expect(made.poolBlocks * threads).toBeGreaterThanOrEqual(made.blocks);
      }
    }
  });

  test.each([1, 2, 3])("small banks, %i threads: layers spread, in order and whole", (threads) => {
    const one = plan({ threads });
    const [fixed] = [one.banks[0].scratch.logits]; // what every bank has, and the table on top
    const limits = Array.from({ length: 12 }, (_, i) =>
      Math.round(fixed + (one.banks[0].bytes - fixed) * (0.2 + 0.07 * i)),
    );
    let [most, refused] = [1, 0];
    for (const bankLimit of limits) {
      let made: MemoryPlan;
      try {
        made = plan({ threads, bankLimit });
      } catch (error) {
        expect(error).toMatchObject({ code: "out-of-memory" });
        refused++;
        continue;
      }
      most = Math.max(most, made.banks.length);
      checkRanges(made, bankLimit);
      const { groupBanks, matrices, vectors, kv } = made;
      golden.program.entries.get("forward")!.forEach((group, g) => {
        const bank = groupBanks.forward[g];
        for (const op of group.ops) {
          if (op.role === "linear" || op.role === "logits") {
            expect(matrices[op.weight].bank).toBe(bank);
          }
          if (op.role === "embed") {
            expect(matrices[op.table].bank).toBe(bank);
          }
          if (op.role === "norm") {
            expect(vectors[op.weight].bank).toBe(bank);
          }
          if (op.role === "append" || op.role === "attention") {
            expect(kv[op.layer].bank).toBe(bank);
          }
        }
      });
      const layers = groupBanks.forward.slice(1, -1);
      expect(layers).toEqual([...layers].sort((a, b) => a - b));
    }
    expect(most).toBeGreaterThan(2);
    expect(refused).toBeLessThan(limits.length / 2);
  });

  test("a larger limit never fails where a smaller one did not", () => {
    const one = plan();
    let fits = false;
    for (let bankLimit = 65536; bankLimit <= one.banks[0].bytes; bankLimit += 256) {
      try {
        plan({ bankLimit });
        fits = true;
      } catch (error) {
        if (fits) {
          throw new Error(`${bankLimit} bytes do not fit, fewer did`, { cause: error });
        }
      }
    }
    expect(fits).toBe(true);
  });

  test("a group that fits no memory is refused with the figures", () => {
    const attempt = (): MemoryPlan => plan({ bankLimit: 500_000 });
    expect(attempt).toThrow(ModelComposeError);
    expect(attempt).toThrow(/needs \d+ bytes in one WebAssembly memory of each of 2 threads/);
    expect(attempt).toThrow("Use more threads or a smaller context length (contextLength).");
  });

  test("plans are plain data, the same every time", () => {
    const made = plan({ bankLimit: 3_000_000 });
    expect(structuredClone(made)).toEqual(made);
    expect(plan({ bankLimit: 3_000_000 })).toEqual(made);
  });

  test("work is known before the checkpoint is, but for what rounding adds", () => {
    for (const options of [
      {},
      { threads: 1 },
      { kvPrecision: "float16", contextLength: 4000, maxRows: 256 },
    ] as const) {
      const { weightBytes, kvCacheBytes, workBytes: counted } = planBytes(plan(options));
      const work = workBytes(golden.program, { ...OPTIONS, ...options }, weightBytes + kvCacheBytes);
      expect(work).toBeLessThanOrEqual(counted);
      // Of the last page, and of shares of weights and cache that are not the same for all workers.
      expect(counted - work).toBeLessThan(2 * 65536 * { ...OPTIONS, ...options }.threads);
    }
    // More than one memory holds has its work twice.
    const one = workBytes(golden.program, OPTIONS, 1);
    expect(workBytes(golden.program, OPTIONS, 6e9)).toBe(one);
    expect(workBytes(golden.program, OPTIONS, 10e9)).toBe(2 * one);
  });

  test("byte counts: weights as stored, the cache of the whole context", () => {
    for (const [model, size] of [
      [golden, 4],
      [bf16, 2],
    ] as const) {
      const { program, checkpoint } = model;
      const stored = [...program.matrices].reduce(
        (sum, [, { rows, columns }]) => sum + rows * columns * size,
        0,
      );
      const gains = [...program.vectors.values()].reduce((sum, { length }) => sum + length * 4, 0);
      const { weightBytes, kvCacheBytes, workBytes } = planBytes(planMemory(program, checkpoint, OPTIONS));
      expect(weightBytes).toBe(stored + 2 * gains);
      expect(kvCacheBytes).toBe(8 * 512 * 2 * 2 * 16 * 4); // layers, positions, K and V, KV heads, headDim, f32
      expect(workBytes).toBeGreaterThan(0);
      const half = planBytes(planMemory(program, checkpoint, { ...OPTIONS, kvPrecision: "float16" }));
      expect(half).toMatchObject({ weightBytes, kvCacheBytes: kvCacheBytes / 2 });
    }
  });
});

describe("shares", () => {
  test.each([1, 2, 3, 4, 5, 6, 7])("%i workers have every row once, evenly", (threads) => {
    for (const rows of [1, 15, 16, 17, 48, 100, 176, 512, 2048, 128256]) {
      const ranges = Array.from({ length: threads }, (_, index) => columnRange(rows, index, threads));
      let next = 0;
      for (const { start, end } of ranges) {
        expect(start === next || start === end).toBe(true);
        expect(end).toBeGreaterThanOrEqual(start);
        next = Math.max(next, end);
      }
      expect(next).toBe(rows);
      const panels = Array.from({ length: threads }, (_, index) => panelRange(rows, index, threads));
      const sizes = panels.map(({ start, end }) => end - start);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(Math.ceil(rows / PANEL));
    }
  });
});
