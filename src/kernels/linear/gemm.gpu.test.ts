import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { multiply, type GemmCase, type GemmKernel } from "../../../test/support/gemm-case.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { worstError } from "../../../test/support/numbers.ts";
import type { FormatName } from "../format.ts";
import { gemmKernel, gemmMemory, gemmWorkgroups, inQuads, tileSize, type GemmTiling } from "./gemm.gpu.ts";

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open();
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const exact = (tiling: GemmTiling): GemmKernel => ({
  spec: (shape) => gemmKernel(shape, "exact", tiling),
  tile: tileSize(tiling),
  isPacked: false,
});
const SMALL = exact({ rowQuads: 1, columnQuads: 1, tileK: 32, buffers: 1 });

async function check(options: GemmCase, kernel = SMALL): Promise<void> {
  const { actual, expected, bound } = await multiply(lab, kernel, options);
  const { ratio, text } = worstError(actual, expected, (i) => bound[i]);
  expect(ratio, text).toBeLessThanOrEqual(1);
}

describe("output", () => {
  test.each<FormatName>(["bf16", "f16", "f32", "i8-row", "int8", "int4"])(
    "%s, sizes that no tile divides",
    async (format) => {
      await check({ format, rows: 67, columns: 77, outputs: 70, edges: true });
    },
  );

  test.each<FormatName>(["bf16", "f16", "f32", "int8"])(
    "%s weights come through bit by bit",
    async (format) => {
      const columns = 77;
      const x = new Float32Array(columns * columns);
      for (let i = 0; i < columns; i++) {
        x[i * columns + i] = 1;
      }
      const { actual, expected } = await multiply(lab, SMALL, {
        format,
        rows: columns,
        columns,
        outputs: 70,
        edges: true,
        x,
      });
      // + 0: sums begin with 0, so there is no -0.
      expect([...actual]).toEqual([...expected.map((value) => value + 0)]);
    },
  );

  test.each<FormatName>(["int8", "int4"])("%s, columns around groups and chunks", async (format) => {
    for (const columns of [1, 16, 20, 32, 33, 64, 96, 100, 544]) {
      await check({ format, rows: 3, columns, outputs: 66, bias: true });
    }
    await check({ format, rows: 66, columns: 96, outputs: 100, cuts: [12, 80], accumulate: true });
  });

  test("one number; whole tiles", async () => {
    await check({ rows: 1, columns: 1, outputs: 1 });
    await check({ rows: 64, columns: 32, outputs: 64 });
  });

  test.each<GemmTiling>([
    { rowQuads: 1, columnQuads: 2, tileK: 16, buffers: 1 },
    { rowQuads: 2, columnQuads: 1, tileK: 8, buffers: 2 },
    { rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 2 },
  ])("tiles $rowQuads × $columnQuads × $tileK, $buffers buffers", async (tiling) => {
    await check({ rows: 130, columns: 56, outputs: 133, bias: true }, exact(tiling));
  });

  test("bias, accumulate, written in quads and not", async () => {
    await check({ rows: 9, columns: 40, outputs: 72, bias: true });
    await check({ rows: 9, columns: 40, outputs: 71, accumulate: true });
  });

  test("activations, with and without bias, written in quads and not", async () => {
    await check({ rows: 9, columns: 40, outputs: 72, bias: true, activation: "gelu" });
    await check({ rows: 9, columns: 40, outputs: 71, activation: "relu" });
    await check({ rows: 9, columns: 40, outputs: 71, bias: true, activation: "gelu_tanh" });
  });

  test("shards of the weight, more workgroups than one dimension holds", async () => {
    await check({ rows: 66, columns: 24, outputs: 100, cuts: [12, 80], bias: true, accumulate: true });
    await check({ rows: 70, columns: 9, outputs: 301, cuts: [3], maxPerDimension: 3 });
  });

  test("numbers beyond f16, exactly powers of two", async () => {
    const columns = 77;
    const x = new Float32Array(2 * columns);
    x[3] = 2 ** 100;
    x[columns + 5] = 2 ** -100;
    const { actual, expected } = await multiply(lab, SMALL, {
      format: "f32",
      rows: 2,
      columns,
      outputs: 70,
      x,
    });
    expect([...actual]).toEqual([...expected.map(Math.fround)]);
  });
});

describe("planning", () => {
  test("workgroups cover all tiles and no dimension passes the limit", () => {
    const tile = { rows: 64, columns: 128 };
    expect(gemmWorkgroups(65, 129, tile, 65535)).toEqual([4, 1]);
    expect(gemmWorkgroups(1, 1, tile, 65535)).toEqual([1, 1]);
    const [x, y] = gemmWorkgroups(2048, 128 * 70000, tile, 65535);
    expect(x).toBeLessThanOrEqual(65535);
    expect(x * y).toBeGreaterThanOrEqual(32 * 70000);
    expect(x * (y - 1)).toBeLessThan(32 * 70000);
  });

  test("workgroup memory", () => {
    expect(gemmMemory({ rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 1 }, "exact")).toBe(16384);
    expect(gemmMemory({ rowQuads: 1, columnQuads: 2, tileK: 16, buffers: 2 }, "f16")).toBe(12288);
  });

  test("quads need every cut at a multiple of four", () => {
    const cut = (at: number): { first: number; count: number }[] => [
      { first: 0, count: at },
      { first: at, count: 8 - at },
    ];
    expect(inQuads(8, cut(4))).toBe(true);
    expect(inQuads(8, cut(6))).toBe(false);
    expect(inQuads(10, [{ first: 0, count: 10 }])).toBe(false);
  });
});
