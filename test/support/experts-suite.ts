/** What is asked of kernels over chosen experts on the GPU, against f64; the tests say which variants. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab } from "./gpu-lab.ts";
import { gpuWeights, randomGpuMatrix } from "./gpu-weights.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "./numbers.ts";
import { elementwiseWorkgroups } from "../../src/kernels/common/elementwise.gpu.ts";
import type { FormatName } from "../../src/kernels/format.ts";
import {
  combineKernel,
  EXPERT_TILE,
  expertsKernel,
  expertsParams,
  expertsWorkgroups,
  groupKernel,
  mostTiles,
  tileWords,
  type ExpertsKind,
  type ExpertsVariant,
} from "../../src/kernels/experts/experts.gpu.ts";

let lab: GpuLab;

/** Opens a device for all tests of a file. */
function useLab(): void {
  beforeAll(async () => {
    lab = await GpuLab.open();
  });
  afterEach(() => {
    lab.reset();
  });
  afterAll(() => {
    lab.close();
  });
}

const [EXPERTS, CHOSEN, ROWS, MAX_ROWS] = [6, 3, 9, 12];

/** Routes of R rows: ascending experts, then weights. */
function randomRoutes(rows: number, random: () => number): Float32Array {
  return Float32Array.from(
    Array.from({ length: rows }, () => {
      const experts = [...Array(EXPERTS).keys()].sort(() => random() - 0.5).slice(0, CHOSEN);
      return [...experts.sort((a, b) => a - b), ...experts.map(() => random())];
    }).flat(),
  );
}

const rowsBuffer = (rows: number): Uint32Array => Uint32Array.of(rows, ...new Uint32Array(7 + 4 * MAX_ROWS));

async function group(routes: Float32Array, workgroup: number): Promise<Uint32Array> {
  const rows = routes.length / (2 * CHOSEN);
  const tiles = lab.buffer(tileWords(rows, EXPERTS, CHOSEN));
  const shape = { experts: EXPERTS, chosen: CHOSEN, maxRows: MAX_ROWS };
  await lab.run(
    groupKernel(shape, workgroup),
    [lab.buffer(routes), lab.buffer(rowsBuffer(rows)), tiles],
    [1],
  );
  return new Uint32Array((await lab.read(tiles)).buffer);
}

/** Declares the tests of products in a format. */
export function describeExperts(
  format: FormatName,
  columns: number,
  variant: Omit<ExpertsVariant, "tile">,
): void {
  describe(`${format}, ${columns} columns, ${JSON.stringify(variant)}`, () => {
    useLab();
    /** Runs one kind over rows or lines of inputs, in two shards. @returns lines (or rows) of products */
    async function run(kind: ExpertsKind, rows: number, isBiased = false) {
      const random = randomSource(columns + rows);
      const matrix = randomGpuMatrix(format, EXPERTS * ROWS, columns, random);
      const routes = randomRoutes(rows, random);
      const isTiled = kind.startsWith("tiled");
      const ofLines = kind === "sum" || kind === "tiled lines";
      const x = normalNumbers((ofLines ? CHOSEN : 1) * rows * columns, random);
      const before = normalNumbers(rows * ROWS, random);
      const output = lab.buffer(kind === "sum" ? before : rows * CHOSEN * ROWS);
      const tiled = { ...variant, tile: isTiled ? EXPERT_TILE : 1 };
      const choice = isTiled ? await group(routes, 16) : routes;
      const bytes = gpuWeights(matrix);
      // Of what stands before the biases nothing is read.
      const biases = 5;
      const vectors = Float32Array.of(
        ...Array<number>(biases).fill(NaN),
        ...normalNumbers(isBiased ? EXPERTS * ROWS : 3, random),
      );
      const units = isTiled ? mostTiles(rows, EXPERTS, CHOSEN) : kind === "sum" ? rows : rows * CHOSEN;
      for (const [first, count] of [
        [0, 2],
        [2, EXPERTS - 2],
      ]) {
        const size = bytes.length / EXPERTS;
        await lab.run(
          expertsKernel({ format, columns, rows: ROWS, chosen: CHOSEN, isBiased }, kind, tiled),
          [
            lab.buffer(x),
            lab.buffer(isBiased ? vectors : Float32Array.of(NaN, NaN, NaN, NaN)),
            lab.buffer(bytes.slice(first * size, (first + count) * size)),
            output,
            lab.buffer(choice),
            lab.uniform(expertsParams({ first, count, add: true, biases })),
          ],
          expertsWorkgroups(units, ROWS, tiled, 65535),
        );
      }
      /** Product of a line by its expert, in f64, and the sum of its terms' sizes. */
      const product = (line: number, n: number): [number, number] => {
        const [r, i] = [Math.floor(line / CHOSEN), line % CHOSEN];
        const expert = routes[r * 2 * CHOSEN + i];
        const from = (ofLines ? line : r) * columns;
        let [sum, size] = [0, 0];
        for (let c = 0; c < columns; c++) {
          const term = x[from + c] * matrix.values[(expert * ROWS + n) * columns + c];
          sum += term;
          size += Math.abs(term);
        }
        const bias = isBiased ? vectors[biases + expert * ROWS + n] : 0;
        return [sum + bias, size + Math.abs(bias)];
      };
      return { found: await lab.read(output), product, routes, before };
    }

    test.each([
      ["each", false],
      ["tiled rows", false],
      ["tiled lines", true],
    ] as const)("%s, biased: %s", async (kind, isBiased) => {
      const { found, product } = await run(kind, 5, isBiased);
      const results = [...Array(5 * CHOSEN * ROWS).keys()].map((i) =>
        product(Math.floor(i / ROWS), i % ROWS),
      );
      const { ratio, text } = worstError(
        found,
        Float64Array.from(results, ([sum]) => sum),
        (i) => 24 * UNIT_ROUNDOFF * results[i][1],
      );
      expect(ratio, text).toBeLessThanOrEqual(1);
    });

    test.each([false, true])("sum, added to what is there, biased: %s", async (isBiased) => {
      const { found, product, routes, before } = await run("sum", 4, isBiased);
      const sizes: number[] = [];
      const expected = before.map((value, at) => {
        const [r, n] = [Math.floor(at / ROWS), at % ROWS];
        sizes[at] = Math.abs(value);
        let sum = value;
        for (let i = 0; i < CHOSEN; i++) {
          const [part, size] = product(r * CHOSEN + i, n);
          const weight = routes[r * 2 * CHOSEN + CHOSEN + i];
          sum += weight * part;
          sizes[at] += weight * size;
        }
        return sum;
      });
      const { ratio, text } = worstError(found, expected, (i) => 24 * UNIT_ROUNDOFF * sizes[i]);
      expect(ratio, text).toBeLessThanOrEqual(1);
    });
  });
}

/** Declares the tests of what gathers lines and adds up their products. */
export function describeGathering(): void {
  useLab();
  describe("lines are gathered by their experts", () => {
    test.each([
      [1, 16],
      [5, 4],
      [12, 256],
      [12, 2],
    ])("%i rows, %i invocations", async (rows, workgroup) => {
      const routes = randomRoutes(rows, randomSource(rows));
      const words = await group(routes, workgroup);
      const expected: number[][] = [];
      for (let e = 0; e < EXPERTS; e++) {
        const lines = [...Array(rows * CHOSEN).keys()].filter((line) => {
          return routes[Math.floor(line / CHOSEN) * 2 * CHOSEN + (line % CHOSEN)] === e;
        });
        for (let first = 0; first < lines.length; first += EXPERT_TILE) {
          expected.push([e, ...lines.slice(first, first + EXPERT_TILE)]);
        }
      }
      expect(expected.length).toBeLessThanOrEqual(mostTiles(rows, EXPERTS, CHOSEN));
      expect(words[0]).toBe(expected.length);
      const found = expected.map((_, t) => {
        const [expert, count, ...lines] = words.subarray(
          1 + t * (EXPERT_TILE + 2),
          1 + (t + 1) * (EXPERT_TILE + 2),
        );
        return [expert, ...lines.slice(0, count)];
      });
      expect(found).toEqual(expected);
    });
  });

  test.each([false, true])("products are combined by their weights, add: %s", async (add) => {
    const random = randomSource(3);
    const [rows, columns] = [3, 300];
    const routes = randomRoutes(rows, random);
    const products = normalNumbers(rows * CHOSEN * columns, random);
    const before = normalNumbers(rows * columns, random);
    const output = lab.buffer(before);
    await lab.run(
      combineKernel(columns, CHOSEN, add),
      [lab.buffer(products), lab.buffer(routes), output],
      elementwiseWorkgroups(columns, rows),
    );
    const expected = Float64Array.from(before, (value, at) => {
      const [r, c] = [Math.floor(at / columns), at % columns];
      let sum = add ? value : 0;
      for (let i = 0; i < CHOSEN; i++) {
        sum += routes[r * 2 * CHOSEN + CHOSEN + i] * products[(r * CHOSEN + i) * columns + c];
      }
      return sum;
    });
    const { ratio, text } = worstError(await lab.read(output), expected, () => 8 * UNIT_ROUNDOFF * 4);
    expect(ratio, text).toBeLessThanOrEqual(1);
  });
}
