/** Sweeps attention: of one row over a long cache, as a decoded token has it, and of blocks of rows, as prompts have them. */
import {
  attentionParams,
  attentionTiles,
  type AttentionShape,
} from "../../src/kernels/attention/attention.gpu.ts";
import {
  selectBlockAttention,
  type BlockAttention,
} from "../../src/kernels/attention/attention-select.gpu.ts";
import { halfUnits } from "../../src/kernels/common/matrix-units.ts";
import {
  attentionMatrixMemory,
  attentionMatrixWorkgroup,
  isWhole,
  type AttentionTiling,
} from "../../src/kernels/attention/block-matrix.gpu.ts";
import {
  attentionPartialWords,
  attentionRowLaunches,
  type DecodeAttentionVariant,
} from "../../src/kernels/attention/decode.gpu.ts";
import type { Launch } from "../../src/runtime/webgpu/run/kernel-runner.ts";
import type { SweepLab } from "./lab.ts";
import type { SweepLine } from "./line.ts";
import { normalNumbers, rowsBuffer, type LayerShape } from "./shapes.ts";

/** Largest errors as parts of the largest output: of f32 in another order, and of factors of 11 bits. */
const MOST_ERROR = { exact: 1e-5, matrix: 1e-2 } as const;
const MAX_ROWS = 16;
/** Layers of a time, each with a cache of its own. */
const LAYERS = 16;

/** Without subgroups: what others are compared with, since the tests compare it with f64. */
const PLAIN: DecodeAttentionVariant = {
  directPositions: 0,
  direct: { workgroup: 128, heads: 4, keyLanes: 8, keys: 1 },
  split: { workgroup: 128, heads: 8, keyLanes: 8, keys: 1 },
  mostSplits: 64,
  workgroups: 256,
  combineColumns: 8,
  workgroupMemory: 16384,
};

/** Invocations, heads, lanes of a key, keys at once. */
type Deal = readonly [workgroup: number, heads: number, keyLanes: number, keys: number];
const DEALS: readonly Deal[] = [
  [256, 1, 8, 4],
  [256, 4, 16, 4],
  [256, 4, 8, 2],
  [256, 2, 8, 4],
  [128, 4, 16, 4],
  [128, 1, 8, 4],
  [512, 1, 8, 4],
  [512, 4, 16, 2],
];
/** Positions up to which a row is done directly, and the most splits beyond them. */
const SPLITS: readonly (readonly [directPositions: number, mostSplits: number, workgroups: number])[] = [
  [2 ** 20, 1, 128],
  [0, 16, 128],
  [0, 32, 128],
  [0, 64, 256],
];
/** What a row sees; longer ones are never done directly. */
const LENGTHS = { wide: [160, 512, 4128, 16384], narrow: [40] };
const LONGEST_DIRECT = 1024;

export async function sweepDecodeAttention(
  lab: SweepLab,
  layer: LayerShape,
  isNarrow: boolean,
  onLine: (line: SweepLine) => void,
): Promise<void> {
  const { features, limits } = lab.context;
  const subgroups = features.subgroups
    ? { least: features.subgroupMinSize, most: features.subgroupMaxSize }
    : undefined;
  for (const length of isNarrow ? LENGTHS.narrow : LENGTHS.wide) {
    const shape = shapeOf(layer, length);
    const numbers = layer.kvHeads * layer.headDim * length;
    const layers = isNarrow ? 1 : LAYERS;
    const caches: [GPUBuffer, GPUBuffer][] = [];
    const [keyNumbers, valueNumbers] = [normalNumbers(numbers, 21), normalNumbers(numbers, 22)];
    for (let i = 0; i < layers; i++) {
      caches.push([await lab.buffer("keys", keyNumbers), await lab.buffer("values", valueNumbers)]);
    }
    const outputs = layer.heads * layer.headDim;
    const query = await lab.buffer("query", normalNumbers(outputs, 23));
    const output = await lab.buffer("output", outputs * 4);
    const rows = await lab.buffer("rows", rowsBuffer(MAX_ROWS, 1, length - 1));
    const pass = { count: 1, shortest: length, longest: length };
    const params = attentionParams(layer.headDim ** -0.5);
    const variants = subgroups === undefined ? [] : variantsOf(length, subgroups, limits);
    const partialWords = Math.max(...[PLAIN, ...variants].map((v) => attentionPartialWords(shape, v, 1)));
    const partials = await lab.buffer("partials", Math.max(4, partialWords) * 4);
    const launchesOf = (variant: DecodeAttentionVariant, [keys, values]: [GPUBuffer, GPUBuffer]): Launch[] =>
      attentionRowLaunches(shape, variant, MAX_ROWS, pass, {
        query,
        keys,
        values,
        output,
        partials,
        rows,
      }).map(({ hasParams, ...launch }) => ({ ...launch, params: hasParams ? params : undefined }));
    const resultOf = async (variant: DecodeAttentionVariant): Promise<Float32Array> => {
      lab.context.device.queue.writeBuffer(output, 0, new Float32Array(outputs));
      await lab.run(launchesOf(variant, caches[0]));
      return lab.read(output, 0, outputs);
    };
    const expected = await resultOf(PLAIN);
    await lab.compile(variants.flatMap((variant) => launchesOf(variant, caches[0]).map(({ spec }) => spec)));
    await lab.warm(caches.flatMap((cache) => launchesOf(PLAIN, cache)));
    for (const variant of [PLAIN, ...variants]) {
      const error = relativeError(await resultOf(variant), expected);
      const chain = caches.flatMap((cache) => launchesOf(variant, cache));
      const seconds = lab.isTimed ? (await lab.time(chain)) / layers : undefined;
      const deal = variant.directPositions >= length ? variant.direct : variant.split;
      const { workgroup, heads, keyLanes, keys } = deal;
      onLine({
        family: "attention of one row",
        shape: `${length} positions`,
        variant:
          variant === PLAIN
            ? "without subgroups"
            : `${workgroup}, ${heads} heads, ${keyLanes} lanes, ${keys} keys, ` +
              (deal === variant.direct ? "direct" : `${variant.mostSplits} splits`),
        parameters: variant,
        error,
        mostError: MOST_ERROR.exact,
        seconds,
        rate: seconds === undefined ? undefined : { value: (numbers * 8) / seconds, unit: "GB/s" },
      });
    }
    lab.release(...caches.flat(), query, output, rows, partials);
  }
}

function variantsOf(
  length: number,
  subgroups: { least: number; most: number },
  {
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupStorageSize,
  }: { maxComputeInvocationsPerWorkgroup: number; maxComputeWorkgroupStorageSize: number },
): DecodeAttentionVariant[] {
  return SPLITS.filter(([directPositions]) => directPositions === 0 || length <= LONGEST_DIRECT).flatMap(
    ([directPositions, mostSplits, workgroups]) =>
      DEALS.filter(([workgroup]) => workgroup <= maxComputeInvocationsPerWorkgroup).map(
        ([workgroup, heads, keyLanes, keys]) => {
          const deal = { workgroup, heads, keyLanes, keys };
          return {
            subgroups,
            directPositions,
            direct: deal,
            split: deal,
            mostSplits,
            workgroups,
            combineColumns: 8,
            workgroupMemory: maxComputeWorkgroupStorageSize,
          };
        },
      ),
  );
}

/** Queries and keys of a tile, subgroups down and across, numbers between rows of scores, whether tiles are read ahead. */
type Cut = readonly [
  queries: number,
  keys: number,
  down: number,
  across: number,
  scorePadding: number,
  prefetch: boolean,
];
const CUTS: readonly Cut[] = [
  [64, 32, 4, 1, 8, true],
  [64, 32, 4, 1, 8, false],
  [64, 32, 2, 2, 8, true],
  [64, 32, 2, 2, 8, false],
  [64, 32, 4, 2, 8, false],
  [128, 32, 4, 2, 4, true],
  [128, 32, 8, 1, 4, true],
  [128, 32, 8, 1, 4, false],
  [32, 32, 2, 2, 8, true],
  [64, 16, 4, 1, 8, true],
];
/** Small enough for an adapter that computes matrices by plain arithmetic. */
const EMULATED: AttentionTiling = {
  matrixRows: 8,
  matrixColumns: 8,
  matrixK: 8,
  subgroupSize: 8,
  subgroupRows: 2,
  subgroupColumns: 1,
  queries: 16,
  keys: 16,
  scorePadding: 4,
  prefetch: true,
};
/** Rows of a pass, behind as many that are in the cache. */
const BLOCK_ROWS = { wide: 2048, narrow: 40 };

export async function sweepBlockAttention(
  lab: SweepLab,
  layer: LayerShape,
  isNarrow: boolean,
  onLine: (line: SweepLine) => void,
): Promise<void> {
  const { features, limits } = lab.context;
  const rows = isNarrow ? BLOCK_ROWS.narrow : BLOCK_ROWS.wide;
  const length = 2 * rows;
  const shape = shapeOf(layer, length);
  const emulated = features.subgroupMatrix.length === 0;
  const numbers = layer.kvHeads * layer.headDim * length;
  const outputs = rows * layer.heads * layer.headDim;
  const keys = await lab.buffer("keys", normalNumbers(numbers, 21));
  const values = await lab.buffer("values", normalNumbers(numbers, 22));
  const query = await lab.buffer("query", normalNumbers(outputs, 23));
  const output = await lab.buffer("output", outputs * 4);
  const positions = Array.from({ length: rows }, (_, i) => rows + i);
  // Each row sees half a pass and what is before it.
  const operations = 4 * layer.headDim * layer.heads * rows * (rows + rows / 2);

  const report = async (
    variant: string,
    parameters: object,
    mostError: number,
    { spec, tileRows, workgroups }: BlockAttention,
    expected?: Float32Array,
  ): Promise<Float32Array> => {
    const tiles = attentionTiles(
      positions.map(() => 0),
      positions,
      tileRows,
    );
    const tileBuffer = await lab.buffer("tiles", tiles.words);
    const launch: Launch = {
      spec,
      buffers: [query, keys, values, output, tileBuffer],
      params: attentionParams(layer.headDim ** -0.5),
      workgroups: [...workgroups(tiles.count), 1],
    };
    lab.context.device.queue.writeBuffer(output, 0, new Float32Array(outputs));
    if (expected === undefined) {
      await lab.warm([launch]);
    }
    await lab.run([launch]);
    const actual = await lab.read(output, 0, outputs);
    const seconds = lab.isTimed ? await lab.time([launch]) : undefined;
    onLine({
      family: "attention of a block",
      shape: `${rows} rows after ${rows}`,
      variant,
      parameters,
      error: relativeError(actual, expected ?? actual),
      mostError,
      seconds,
      rate: seconds === undefined ? undefined : { value: operations / seconds, unit: "TFLOP/s" },
    });
    lab.release(tileBuffer);
    return actual;
  };

  const expected = await report("exact", {}, MOST_ERROR.exact, selectBlockAttention(shape, rows));
  for (const tiling of emulated ? [EMULATED] : tilingsOf(features)) {
    const fits =
      isWhole(shape, tiling) &&
      attentionMatrixMemory(shape, tiling) <= limits.maxComputeWorkgroupStorageSize &&
      attentionMatrixWorkgroup(tiling) <= limits.maxComputeInvocationsPerWorkgroup;
    if (!fits) {
      continue;
    }
    const { queries, keys: tileKeys, subgroupRows, subgroupColumns, matrixColumns, prefetch } = tiling;
    await report(
      `${queries} queries, ${tileKeys} keys, ${subgroupRows} × ${subgroupColumns}, N ${matrixColumns}${prefetch ? ", read ahead" : ""}`,
      tiling,
      MOST_ERROR.matrix,
      selectBlockAttention(shape, rows, { ...features, ...limits }, { tiling, emulated }),
      expected,
    );
  }
  lab.release(keys, values, query, output);
}

/** The cuts by each product of the adapter's units that multiplies f16 and adds f32. */
function tilingsOf(features: SweepLab["context"]["features"]): AttentionTiling[] {
  return halfUnits(features)
    .filter(({ K }) => K === 16)
    .flatMap(({ M, N, K }) =>
      CUTS.map(([queries, keys, subgroupRows, subgroupColumns, scorePadding, prefetch]) => ({
        matrixRows: M,
        matrixColumns: N,
        matrixK: K,
        subgroupSize: features.subgroupMaxSize,
        subgroupRows,
        subgroupColumns,
        queries,
        keys,
        scorePadding,
        prefetch,
      })),
    );
}

function shapeOf({ heads, kvHeads, headDim }: LayerShape, context: number): AttentionShape {
  return { heads, kvHeads, headDim, context, cache: "f32" };
}

/** The largest difference as a part of the largest number; infinite where there is NaN. */
function relativeError(actual: Float32Array, expected: Float32Array): number {
  let [difference, largest] = [0, 0];
  for (const [i, value] of expected.entries()) {
    const own = Math.abs(actual[i] - value);
    difference = own <= difference ? difference : own;
    largest = Math.max(largest, Math.abs(value));
  }
  return Number.isNaN(difference) ? Infinity : difference / largest;
}
