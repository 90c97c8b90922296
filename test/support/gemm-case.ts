/** One product of a weight matrix with many token rows on the GPU, beside its f64 reference. */
import type { Activation } from "../../src/kernels/activate/activation.ts";
import {
  packedMatrixWords,
  packKernel,
  packWeightKernel,
  packWeightParams,
  packWeightWorkgroups,
  type Terms,
} from "../../src/kernels/linear/gemm-pack.gpu.ts";
import {
  gemmParams,
  gemmWorkgroups,
  inQuads,
  type GemmShape,
  type TileSize,
} from "../../src/kernels/linear/gemm.gpu.ts";
import type { FormatName } from "../../src/kernels/format.ts";
import type { KernelSpec } from "../../src/kernels/wgsl/kernel.ts";
import { activationBound, ACTIVATIONS } from "./activations.ts";
import type { GpuLab } from "./gpu-lab.ts";
import { gpuWeights, randomGpuMatrix } from "./gpu-weights.ts";
import { normalNumbers, product, randomSource, UNIT_ROUNDOFF } from "./numbers.ts";
import { rowWords } from "./rows.ts";

/** The most rows of a pass. It is the same for all cases, so that more of them share a pipeline. */
const MAX_ROWS = 150;

export interface GemmKernel {
  spec: (shape: GemmShape) => KernelSpec;
  tile: TileSize;
  /** Whether the kernel reads x as packKernel writes it. */
  isPacked: boolean;
  /** How many halves stand for a number of x, for a kernel that reads weights as packWeightKernel writes them. */
  terms?: Terms;
}

export interface GemmCase {
  format?: FormatName;
  rows: number;
  columns: number;
  outputs: number;
  bias?: boolean;
  accumulate?: boolean;
  activation?: Activation;
  /** First weight rows of the shards after the first one. */
  cuts?: number[];
  /** Whether the weight has numbers from the edges of its format. */
  edges?: boolean;
  /** Activations [rows, columns], in place of random numbers. */
  x?: Float32Array;
  /** Numbers of the whole weight as f32, in place of random ones. */
  weight?: Float32Array;
  maxPerDimension?: number;
}

export interface GemmOutcome {
  /** Results of the GPU, [rows, outputs]. */
  actual: Float32Array;
  expected: Float64Array;
  /** The error that f32 arithmetic may have, for every output. */
  bound: Float64Array;
  /** The sum Σ |x| |weight| of every output. */
  magnitude: Float64Array;
}

export async function multiply(lab: GpuLab, kernel: GemmKernel, options: GemmCase): Promise<GemmOutcome> {
  const { format = "bf16", rows, columns, outputs, bias = false, accumulate = false } = options;
  const { cuts = [], edges = false, maxPerDimension = 65535, activation } = options;
  const random = randomSource(rows * 7 + columns * 3 + outputs);
  const x = options.x ?? normalNumbers(rows * columns, random, 2);
  const matrix = randomGpuMatrix(format, outputs, columns, random, edges);
  if (options.weight !== undefined) {
    matrix.bytes = new Uint8Array(options.weight.buffer);
    matrix.values.set(options.weight);
  }
  const before = normalNumbers(rows * outputs, random);
  const [offset, biases] = [5, normalNumbers(outputs, random)];

  const shards = [0, ...cuts].map((first, i) => ({ first, count: (cuts[i] ?? outputs) - first }));
  const spec = kernel.spec({
    format,
    columns,
    outputColumns: outputs,
    bias,
    accumulate,
    activation,
    quads: inQuads(outputs, shards),
    maxRows: MAX_ROWS,
  });
  let input = lab.buffer(x);
  if (kernel.isPacked) {
    const packed = lab.buffer(packedMatrixWords(rows, columns, kernel.terms));
    await lab.run(packKernel(columns, kernel.terms), [input, packed], [rows]);
    input = packed;
  }
  const weights = gpuWeights(matrix);
  const stride = weights.length / outputs;
  const vectors = lab.buffer(Float32Array.of(...new Float32Array(offset).fill(NaN), ...biases));
  const output = lab.buffer(accumulate ? before : rows * outputs);
  const rowBuffer = lab.buffer(rowWords(MAX_ROWS, { positions: Array<number>(rows).fill(0) }));
  for (const { first, count } of shards) {
    let weight = lab.buffer(weights.subarray(first * stride, (first + count) * stride));
    if (kernel.terms !== undefined) {
      const packed = lab.buffer(packedMatrixWords(count, columns));
      await lab.run(
        packWeightKernel({ format, columns }),
        [weight, packed, lab.uniform(packWeightParams(count))],
        packWeightWorkgroups(count, maxPerDimension),
      );
      weight = packed;
    }
    await lab.run(
      spec,
      [input, vectors, weight, output, rowBuffer, lab.uniform(gemmParams({ bias: offset, first, count }))],
      gemmWorkgroups(rows, count, kernel.tile, maxPerDimension),
    );
  }
  const { values: expected, bound } = product(x, matrix);
  const magnitude = product(x.map(Math.abs), { ...matrix, values: matrix.values.map(Math.abs) }).values;
  expected.forEach((_, i) => {
    if (bias) {
      expected[i] += biases[i % outputs];
    }
    if (accumulate) {
      expected[i] += before[i];
    }
    if (bias || accumulate) {
      bound[i] += 2 * UNIT_ROUNDOFF * (Math.abs(expected[i]) + 4);
    }
  });
  if (activation !== undefined) {
    expected.forEach((z, i) => {
      // The slope of no activation is steeper than 1.2.
      bound[i] = 1.2 * bound[i] + activationBound(activation, z);
      expected[i] = ACTIVATIONS[activation].exact(z);
    });
  }
  return { actual: await lab.read(output), expected, bound, magnitude };
}

/** Normalised mean squared error: |actual - expected|² / |expected|². */
export function nmse(actual: ArrayLike<number>, expected: Float64Array): number {
  const square = (sum: number, v: number): number => sum + v * v;
  return expected.map((v, i) => v - actual[i]).reduce(square, 0) / expected.reduce(square, 0);
}
