/**
 * Checks on the device itself that it computes what it should, before a model is used on it: drivers compile kernels of subgroups
 * and matrix units that few others use, and a wrong one is no error but a wrong text.
 */
import { ModelComposeError } from "../../../base/errors.ts";
import { attentionParams, attentionTiles } from "../../../kernels/attention/attention.gpu.ts";
import { attentionPartialWords, attentionRowLaunches } from "../../../kernels/attention/decode.gpu.ts";
import {
  selectBlockAttention,
  type BlockAttention,
} from "../../../kernels/attention/attention-select.gpu.ts";
import {
  packedMatrixWords,
  packKernel,
  packWeightKernel,
  packWeightParams,
  packWeightWorkgroups,
} from "../../../kernels/linear/gemm-pack.gpu.ts";
import { gemmParams, gemmWorkgroups } from "../../../kernels/linear/gemm.gpu.ts";
import { ROWS_HEADER } from "../plan/dispatch.ts";
import type { AttentionCheck, DeviceCheck, ProductCheck, RowAttentionCheck } from "../plan/device-check.ts";
import type { GpuContext } from "./device.ts";
import { KernelRunner, type Launch } from "./kernel-runner.ts";

const OTHER_MODE = 'Use the prefill mode "exact", and report this message.';
const OTHER_DEVICE = 'Use the device "wasm" (the CPU), and report this message.';

/** Largest errors of a product, as parts of Σ |x| |w|, by how many halves a number has; undefined: it is f32. */
const PRODUCT_ERRORS = new Map<number | undefined, number>([
  [undefined, 2e-6],
  [1, 2 ** -10],
  [2, 4e-6],
]);
/** The largest error of attention, as a part of its largest number: queries, keys, weights and values are rounded to f16. */
const ATTENTION_ERROR = 1e-2;
/** The largest error of one row's attention, which is of values between -1 and 1. */
const ROW_ATTENTION_ERROR = 1e-5;

/**
 * Runs every kernel of a check.
 *
 * @throws ModelComposeError "device" that names the kernel, its error and the bound
 */
export async function checkDevice(
  context: GpuContext,
  { product, attention, rowAttention }: DeviceCheck,
): Promise<void> {
  const runner = new KernelRunner(context);
  try {
    if (rowAttention !== undefined) {
      await checkRowAttention(runner, rowAttention);
    }
    if (product !== undefined) {
      await checkProduct(runner, product);
    }
    if (attention !== undefined) {
      await checkAttention(runner, attention);
    }
  } finally {
    runner.close();
  }
}

/** Compares with f64 arithmetic. */
async function checkRowAttention(
  runner: KernelRunner,
  { shape, variant, positions }: RowAttentionCheck,
): Promise<void> {
  const { heads, kvHeads, headDim, context } = shape;
  const [queryNumbers, keyNumbers, valueNumbers] = [
    numbers(heads * headDim, 6).map((value) => 4 * value),
    numbers(context * kvHeads * headDim, 7),
    numbers(context * kvHeads * headDim, 8),
  ];
  const query = await runner.buffer("query", queryNumbers);
  const keys = await runner.buffer("keys", keyNumbers);
  const values = await runner.buffer("values", valueNumbers);
  const partials = await runner.buffer("partials", Math.max(4, attentionPartialWords(shape, variant, 1)) * 4);
  const output = await runner.buffer("output", heads * headDim * 4);
  const params = attentionParams(headDim ** -0.5);
  for (const position of positions) {
    const words = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, position, 0];
    const rows = await runner.buffer("rows", Uint32Array.from(words));
    const pass = { count: 1, shortest: position + 1, longest: position + 1 };
    const needed = attentionRowLaunches(shape, variant, 1, pass, {
      query,
      keys,
      values,
      output,
      partials,
      rows,
    });
    await runner.run(
      needed.map(({ hasParams, ...launch }) => ({ ...launch, params: hasParams ? params : undefined })),
    );
    const actual = await runner.read(output, 0, heads * headDim);
    let error = 0;
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const at = (p: number): number => (p * kvHeads + kvHead) * headDim;
      const weights = Array.from({ length: position + 1 }, (_, p) => {
        let score = 0;
        for (let c = 0; c < headDim; c++) {
          score += queryNumbers[head * headDim + c] * keyNumbers[at(p) + c];
        }
        return Math.exp(score * headDim ** -0.5);
      });
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      for (let c = 0; c < headDim; c++) {
        const expected =
          weights.reduce((sum, weight, p) => sum + weight * valueNumbers[at(p) + c], 0) / total;
        error = larger(error, Math.abs(actual[head * headDim + c] - expected));
      }
    }
    requireSmall(runner.context, needed[0].spec.name, error, ROW_ATTENTION_ERROR, OTHER_DEVICE);
  }
}

async function checkProduct(runner: KernelRunner, { shape, rows, plan }: ProductCheck): Promise<void> {
  const { columns, outputColumns: outputs, maxRows } = shape;
  const { maxComputeWorkgroupsPerDimension: most } = runner.context.limits;
  // Every eighth row is of large numbers: what belongs to one row must not show in another.
  const x = numbers(rows * columns, 1).map((value, i) =>
    Math.floor(i / columns) % 8 === 0 ? 300 * value : value,
  );
  const weights = toBf16(numbers(outputs * columns, 2));
  const vectors = await runner.buffer("vectors", 16);
  const rowsBuffer = await runner.buffer(
    "rows",
    Uint32Array.of(rows, ...new Array<number>(ROWS_HEADER - 1 + 4 * maxRows).fill(0)),
  );
  const output = await runner.buffer("output", rows * outputs * 4);
  const launches: Launch[] = [];
  let input = await runner.buffer("x", x);
  if (plan.terms !== undefined) {
    const packed = await runner.buffer("packed", packedMatrixWords(rows, columns, plan.terms) * 4);
    launches.push({
      spec: packKernel(columns, plan.terms),
      buffers: [input, packed],
      workgroups: [rows, 1, 1],
    });
    input = packed;
  }
  let weight = await runner.buffer(
    "weight",
    Uint16Array.from(weights, (value) => bf16Bits(value)),
  );
  if (plan.isWeightPacked) {
    const packed = await runner.buffer("packed weight", packedMatrixWords(outputs, columns) * 4);
    launches.push({
      spec: packWeightKernel(shape),
      buffers: [weight, packed],
      params: packWeightParams(outputs),
      workgroups: [...packWeightWorkgroups(outputs, most), 1],
    });
    weight = packed;
  }
  if (launches.length > 0) {
    await runner.run(launches);
  }
  const exact = new Float64Array(rows * outputs);
  const magnitudes = new Float64Array(rows * outputs);
  for (let i = 0; i < rows * outputs; i++) {
    const [row, column] = [Math.floor(i / outputs), i % outputs];
    for (let k = 0; k < columns; k++) {
      const term = x[row * columns + k] * weights[column * columns + k];
      exact[i] += term;
      magnitudes[i] += Math.abs(term);
    }
  }
  for (const { spec, tile } of plan.kernels) {
    await runner.run([
      {
        spec,
        buffers: [input, vectors, weight, output, rowsBuffer],
        params: gemmParams({ bias: 0, first: 0, count: outputs }),
        workgroups: [...gemmWorkgroups(rows, outputs, tile, most), 1],
      },
    ]);
    const actual = await runner.read(output, 0, rows * outputs);
    let error = 0;
    for (const [i, value] of actual.entries()) {
      error = larger(error, Math.abs(value - exact[i]) / magnitudes[i]);
    }
    requireSmall(runner.context, spec.name, error, PRODUCT_ERRORS.get(plan.terms) ?? 0);
  }
}

/** Compares with the kernel of plain units, which computes in f32. */
async function checkAttention(
  runner: KernelRunner,
  { shape, rows, before, kernel, maxRows }: AttentionCheck,
): Promise<void> {
  const { heads, kvHeads, headDim, context } = shape;
  const query = await runner.buffer("query", numbers(rows * heads * headDim, 3));
  const keys = await runner.buffer("keys", numbers(context * kvHeads * headDim, 4));
  const values = await runner.buffer("values", numbers(context * kvHeads * headDim, 5));
  const slots = new Array<number>(rows).fill(0);
  const positions = Array.from({ length: rows }, (_, i) => before + i);
  const attend = async ({ spec, tileRows, workgroups }: BlockAttention): Promise<Float32Array> => {
    const tiles = attentionTiles(slots, positions, tileRows);
    const tileBuffer = await runner.buffer("tiles", tiles.words);
    const output = await runner.buffer("output", rows * heads * headDim * 4);
    const params = attentionParams(headDim ** -0.5);
    const launch = { spec, params, buffers: [query, keys, values, output, tileBuffer] };
    await runner.run([{ ...launch, workgroups: [...workgroups(tiles.count), 1] }]);
    return runner.read(output, 0, rows * heads * headDim);
  };
  const expected = await attend(selectBlockAttention(shape, maxRows));
  const actual = await attend(kernel);
  let [error, largest] = [0, 0];
  for (const [i, value] of expected.entries()) {
    error = larger(error, Math.abs(actual[i] - value));
    largest = Math.max(largest, Math.abs(value));
  }
  requireSmall(runner.context, kernel.spec.name, error / largest, ATTENTION_ERROR);
}

function requireSmall(
  { summary }: GpuContext,
  kernel: string,
  error: number,
  most: number,
  remedy = OTHER_MODE,
): void {
  if (error <= most) {
    return;
  }
  throw new ModelComposeError(
    "device",
    `The GPU ${summary.name} computes wrong results: the kernel "${kernel}" is off by ` +
      `${error.toExponential(1)}; expected at most ${most.toExponential(1)}.`,
    { remedy },
  );
}

/** The larger number; NaN is larger than any. */
function larger(a: number, b: number): number {
  return b <= a ? a : b;
}

/** Numbers between -1 and 1 by an integer hash, the same everywhere. */
function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    let h = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
    return ((h ^ (h >>> 15)) | 0) / 2 ** 31;
  });
}

function bf16Bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16;
}

/** Numbers cut off to bf16. */
function toBf16(values: Float32Array): Float32Array {
  const words = new Uint32Array(values.buffer).map((word) => word & 0xffff0000);
  return new Float32Array(words.buffer);
}
