/**
 * Tests of the modes that multiply in f16. "f16" itself needs shader-f16; its arithmetic runs everywhere in the
 * emulated form.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { multiply, nmse, type GemmKernel } from "../../../test/support/gemm-case.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, worstError } from "../../../test/support/numbers.ts";
import { openGpu } from "../../runtime/platform/gpu.ts";
import { shaderCode } from "../wgsl/kernel.ts";
import type { FormatName } from "../format.ts";
import { gemmKernel, tileSize, type GemmTiling, type TileMode } from "./gemm.gpu.ts";

/** Unit roundoff of f16, rounded to nearest. */
const ROUNDOFF = 2 ** -11;

const TILING: GemmTiling = { rowQuads: 1, columnQuads: 1, tileK: 32, buffers: 1 };

/** GpuLab finds the same adapter for every test, so a probe of it says which modes there are. */
const probe = await GpuLab.open(["shader-f16"]);
const MODES: TileMode[] = probe.has("shader-f16") ? ["f16", "f16-emulated"] : ["f16-emulated"];
probe.close();

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open(["shader-f16"]);
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

describe.each(MODES)("%s", (mode) => {
  const small: GemmKernel = {
    spec: (shape) => gemmKernel(shape, mode, TILING),
    tile: tileSize(TILING),
    isPacked: true,
  };

  test.each<FormatName>(["bf16", "f16", "f32", "int8", "int4"])(
    "%s within the rounding of both factors",
    async (format) => {
      const columns = 77;
      const { actual, expected, bound, magnitude } = await multiply(lab, small, {
        format,
        rows: 67,
        columns,
        outputs: 70,
        bias: true,
        accumulate: true,
        edges: format === "f16",
      });
      // WGSL promises one of the two nearest halves, so either factor may be off by 2 ROUNDOFF. Flushed subnormals take
      // 2^-14 of a weight (times x, which stays below 12) and 2^-28 of x (times a weight up to 65504).
      const flushed = columns * (12 * 2 ** -14 + 12 * 2 ** -28 * 65504);
      const { ratio, text } = worstError(
        actual,
        expected,
        (i) => bound[i] + magnitude[i] * 4.01 * ROUNDOFF + flushed,
      );
      expect(ratio, text).toBeLessThanOrEqual(1);
    },
  );

  test("NMSE of a long sum is that of independent roundings", async () => {
    const { actual, expected } = await multiply(lab, small, { rows: 20, columns: 400, outputs: 33 });
    const error = nmse(actual, expected);
    // bf16 weights of ordinary size are exact in f16; a rounding of x to nearest has the variance u²/3 at most.
    expect(error).toBeLessThan(ROUNDOFF ** 2 / 3);
    // It did round.
    expect(error).toBeGreaterThan(ROUNDOFF ** 2 / 300);
  });

  test("rows of any size keep their precision", async () => {
    const [rows, columns, outputs] = [5, 20, 7];
    const scales = [1e30, 3e-30, 1, 70000, 0];
    const random = randomSource(5);
    const x = normalNumbers(rows * columns, random).map((v, i) => v * scales[Math.floor(i / columns)]);
    const { actual, expected } = await multiply(lab, small, { rows, columns, outputs, x });
    for (let r = 0; r < 4; r++) {
      const row = [r * outputs, (r + 1) * outputs] as const;
      expect(nmse(actual.subarray(...row), expected.subarray(...row))).toBeLessThan(ROUNDOFF ** 2);
    }
    expect([...actual.subarray(4 * outputs)]).toEqual(Array(outputs).fill(0));
  });

  test("a row with an infinity or NaN is NaN throughout, the others are not touched", async () => {
    const x = new Float32Array(3 * 20).fill(1);
    x[1] = Infinity;
    x[2 * 20 + 11] = NaN;
    const { actual, expected, bound } = await multiply(lab, small, { rows: 3, columns: 20, outputs: 7, x });
    expect([...actual.subarray(0, 7), ...actual.subarray(14)].every(Number.isNaN)).toBe(true);
    const { ratio, text } = worstError(actual.subarray(7, 14), expected.subarray(7, 14), (i) => bound[7 + i]);
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("weights beyond f16 saturate", async () => {
    const [columns, outputs] = [77, 70];
    const weight = new Float32Array(columns * outputs);
    [weight[0], weight[columns], weight[2 * columns], weight[3 * columns]] = [1e5, -1e30, 65504, 1];
    const x = new Float32Array(columns);
    x[0] = 1;
    const { actual } = await multiply(lab, small, { format: "f32", rows: 1, columns, outputs, x, weight });
    expect([...actual.subarray(0, 5)]).toEqual([65504, -65504, 65504, 1, 0]);
  });
});

test("Dawn takes the f16 kernel where there is shader-f16", async () => {
  const adapter = (await (await openGpu(["backend=null"])).requestAdapter())!;
  const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16"] });
  for (const format of ["bf16", "f16", "f32", "int8", "int4"] as const) {
    const spec = gemmKernel(
      {
        format,
        columns: 77,
        outputColumns: 40,
        bias: true,
        accumulate: true,
        quads: true,
        maxRows: 64,
      },
      "f16",
      TILING,
    );
    const module = device.createShaderModule({ code: shaderCode(spec) });
    expect((await module.getCompilationInfo()).messages.map(({ message }) => message)).toEqual([]);
    await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  }
  device.destroy();
});
