/** Sweeps the products of one row, as a decoded token has them. */
import { chunksOf } from "../../src/kernels/format.ts";
import {
  gemvKernel,
  gemvParams,
  gemvWorkgroups,
  type Epilogue,
  type GemvShape,
  type GemvVariant,
} from "../../src/kernels/linear/gemv.gpu.ts";
import type { Launch } from "../../src/runtime/webgpu/run/kernel-runner.ts";
import type { SweepLab } from "./lab.ts";
import type { SweepLine } from "./line.ts";
import { matricesOf, normalNumbers, rowsBuffer, type LayerShape, type MatrixShape } from "./shapes.ts";

const MAX_ROWS = 16;
const CONTEXT = 512;
/** Launches of a time: each has weights of its own, as layers have. */
const MOST_LAUNCHES = 24;
/** f32 sums in another order. */
const MOST_ERROR = 2e-5;

const WORKGROUPS = [32, 64, 128, 256, 512];
/** The same for adapters on the CPU, whose matrices are narrow. */
const NARROW_WORKGROUPS = [4, 8, 16, 24, 32];
const OUTPUTS = [2, 4, 8];
const UNROLLS = [1, 2, 4];
/** Token rows of a tile; the sums of a tile that an invocation has registers for. */
const TILES = [4, 8, 16];
const MOST_SUMS = 72;
/** Token rows of which a pass has as many. */
const FEW = 16;
/** Chunks of 16 bytes that an invocation can hold on their way. */
const MOST_IN_FLIGHT = 32;

/** The variant whose results count as right: the tests compare it with f64. */
const PLAIN: GemvVariant = { subgroups: false, workgroup: 64, outputs: 4, tile: 1 };

/** The variants that are worth trying for a shape on an adapter. */
export function gemvVariants(
  shape: MatrixShape,
  { subgroups, mostInvocations }: { subgroups: boolean; mostInvocations: number },
): GemvVariant[] {
  const chunks = chunksOf(shape);
  const isNarrow = chunks < 128;
  const variants: GemvVariant[] = [];
  for (const workgroup of (isNarrow ? NARROW_WORKGROUPS : WORKGROUPS).filter(
    (size) => size <= mostInvocations,
  )) {
    for (const outputs of OUTPUTS) {
      for (const unroll of UNROLLS) {
        const isPowerOfTwo = Number.isInteger(Math.log2(workgroup));
        const turns = Math.ceil(chunks / (workgroup * unroll));
        // What a turn wastes where a row ends within it.
        const waste = turns * workgroup * unroll - chunks;
        if (
          outputs * unroll <= MOST_IN_FLIGHT &&
          outputs <= workgroup &&
          waste <= chunks / 3 &&
          (subgroups || isPowerOfTwo) &&
          (isPowerOfTwo || shape.name === "down")
        ) {
          variants.push({ subgroups, workgroup, outputs, tile: 1, unroll });
        }
      }
    }
  }
  return variants;
}

/** The variants for a few rows. */
function fewVariants(
  shape: MatrixShape,
  adapter: { subgroups: boolean; mostInvocations: number },
): GemvVariant[] {
  return gemvVariants(shape, adapter)
    .filter(({ unroll = 1 }) => unroll <= 2)
    .flatMap((variant) => TILES.map((tile) => ({ ...variant, tile })))
    .filter(({ outputs, tile, workgroup }) => outputs * tile <= Math.min(MOST_SUMS, workgroup));
}

export async function sweepGemv(
  lab: SweepLab,
  layer: LayerShape,
  { block, poolBytes }: { block: Uint16Array; poolBytes: number },
  onLine: (line: SweepLine) => void,
): Promise<void> {
  const { features, limits } = lab.context;
  const pool = await lab.repeated("weights", block, poolBytes);
  const kvColumns = layer.kvHeads * layer.headDim;
  const widest = Math.max(...matricesOf(layer).map(({ columns }) => columns));
  const x = await lab.buffer("x", normalNumbers(FEW * widest, 7));
  const vectors = await lab.buffer("vectors", normalNumbers(widest, 8));
  const output = await lab.buffer("output", Math.max(layer.vocabulary, FEW * widest) * 4);
  const rows = await lab.buffer("rows", rowsBuffer(MAX_ROWS, FEW, 5));
  const keys = await lab.buffer("keys", CONTEXT * kvColumns * 4);
  const values = await lab.buffer("values", CONTEXT * kvColumns * 4);
  const rope = await lab.buffer("rope", normalNumbers(CONTEXT * layer.headDim, 9));

  for (const matrix of matricesOf(layer)) {
    const bytes = matrix.rows * matrix.columns * 2;
    const shape = gemvShape(matrix, layer);
    const isQkv = matrix.name === "qkv";
    const launchOf = (variant: GemvVariant, at: number, rowCount: number): Launch => ({
      spec: gemvKernel(shape, variant),
      buffers: [
        x,
        vectors,
        { buffer: pool, offset: at, size: bytes },
        output,
        rows,
        ...(isQkv ? [keys, values, rope] : []),
      ],
      params: gemvParams({ gain: 0, bias: 0, epsilon: 1e-6, first: 0, count: matrix.rows }),
      workgroups: gemvWorkgroups(matrix.rows, rowCount, variant, limits.maxComputeWorkgroupsPerDimension),
    });
    const resultOf = async (variant: GemvVariant, count: number): Promise<Float32Array> => {
      const zeros = new Float32Array(count * shape.outputColumns);
      lab.context.device.queue.writeBuffer(output, 0, zeros);
      await lab.run([launchOf(variant, 0, count)]);
      const result = await lab.read(output, 0, count * shape.outputColumns);
      return isQkv ? joined(result, await lab.read(keys, 5 * kvColumns * 4, count * kvColumns)) : result;
    };
    const adapter = {
      subgroups: features.subgroups,
      mostInvocations: limits.maxComputeInvocationsPerWorkgroup,
    };
    for (const count of matrix.name === "logits" ? [1] : [1, FEW]) {
      const variants = count === 1 ? gemvVariants(matrix, adapter) : fewVariants(matrix, adapter);
      const expected = await resultOf(PLAIN, count);
      const largest = largestOf(expected);
      await lab.compile(variants.map((variant) => gemvKernel(shape, variant)));
      const launches = Math.min(MOST_LAUNCHES, Math.floor(poolBytes / bytes));
      const chainOf = (variant: GemvVariant): Launch[] =>
        Array.from({ length: launches }, (_, i) => launchOf(variant, i * aligned(bytes), count));
      await lab.warm(chainOf(PLAIN));
      for (const variant of variants) {
        const actual = await resultOf(variant, count);
        const error = largestOf(actual.map((value, i) => value - expected[i])) / largest;
        const seconds = lab.isTimed ? (await lab.time(chainOf(variant))) / launches : undefined;
        onLine({
          family: "gemv",
          shape: count === 1 ? matrix.name : `${matrix.name}, ${count} rows`,
          variant:
            `${variant.workgroup} × ${variant.outputs} outputs × ${variant.unroll}` +
            (variant.tile === 1 ? "" : `, tiles of ${variant.tile}`),
          parameters: variant,
          error,
          mostError: MOST_ERROR,
          seconds,
          rate: seconds === undefined ? undefined : { value: bytes / seconds, unit: "GB/s" },
        });
      }
    }
  }
  lab.release(pool, x, vectors, output, rows, keys, values, rope);
}

/** The largest magnitude; infinite where a number is not one. */
function largestOf(numbers: Float32Array): number {
  return numbers.reduce((most, value) => (Math.abs(value) <= most ? most : Math.abs(value)), 0) || 0;
}

/** Offsets of bindings are multiples of 256 bytes. */
function aligned(bytes: number): number {
  return Math.floor(bytes / 256) * 256;
}

function gemvShape(matrix: MatrixShape, layer: LayerShape): GemvShape {
  const { heads, kvHeads, headDim } = layer;
  const epilogues: Record<MatrixShape["name"], Epilogue> = {
    qkv: {
      kind: "qkv",
      heads,
      keyHeads: kvHeads,
      valueHeads: kvHeads,
      kvHeads,
      headDim,
      context: CONTEXT,
      cache: "f32",
      rotary: headDim,
    },
    o: { kind: "add" },
    gate: { kind: "gate", activation: "silu" },
    down: { kind: "add" },
    logits: { kind: "store" },
  };
  const { name, format, columns, rows } = matrix;
  return {
    format,
    columns,
    outputColumns: name === "qkv" ? heads * headDim : name === "gate" ? rows / 2 : rows,
    norm: name === "qkv" || name === "gate",
    bias: false,
    epilogue: epilogues[name],
    gather: name === "logits",
    maxRows: MAX_ROWS,
    count: rows,
  };
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
