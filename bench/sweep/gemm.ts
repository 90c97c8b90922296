/** Sweeps the products of many rows, as prompts have them. */
import { halfUnits } from "../../src/kernels/common/matrix-units.ts";
import {
  gemmParams,
  gemmKernel,
  gemmWorkgroups,
  tileSize,
  type GemmShape,
  type GemmTiling,
} from "../../src/kernels/linear/gemm.gpu.ts";
import {
  gemmPackedKernel,
  packedMemory,
  packedTileSize,
  packedWorkgroup,
  type PackedTiling,
} from "../../src/kernels/linear/gemm-packed.gpu.ts";
import {
  packedMatrixWords,
  packKernel,
  packWeightKernel,
  packWeightParams,
  packWeightWorkgroups,
  type Terms,
} from "../../src/kernels/linear/gemm-pack.gpu.ts";
import type { Launch } from "../../src/runtime/webgpu/run/kernel-runner.ts";
import type { SweepLab } from "./lab.ts";
import type { SweepLine } from "./line.ts";
import {
  fromBf16,
  matricesOf,
  normalNumbers,
  rowsBuffer,
  type LayerShape,
  type MatrixShape,
} from "./shapes.ts";

/** Launches of a time. */
const LAUNCHES = 4;
/** Variants that are tried where each takes a second to compile. */
const QUICK_VARIANTS = 10;
/** Outputs of which the exact result is computed. */
const SAMPLES = 60;
/** Errors as parts of Σ |x| |w|: f32 sums, sums of factors of 11 bits, and of 22. */
const MOST_ERROR = { exact: 2e-6, 1: 1e-3, 2: 2e-6 } as const;

/**
 * What is tried: subgroups down and across, matrices of each down and across, columns of a tile, buffers of tiles, halves a
 * number, columns after which sums are added up.
 */
type Plan = readonly [
  down: number,
  across: number,
  rowMatrices: number,
  columnMatrices: number,
  tileK: number,
  buffers: 1 | 2,
  terms: Terms,
  flush: number,
];
const PLANS: readonly Plan[] = [
  [2, 4, 4, 2, 32, 1, 1, 0],
  [2, 4, 4, 2, 32, 2, 1, 0],
  [2, 4, 4, 2, 64, 1, 1, 0],
  [2, 2, 4, 4, 32, 1, 1, 0],
  [2, 2, 4, 4, 32, 2, 1, 0],
  [4, 2, 2, 4, 32, 1, 1, 0],
  [2, 4, 4, 4, 32, 1, 1, 0],
  [4, 2, 4, 4, 32, 1, 1, 0],
  [2, 2, 4, 2, 32, 1, 1, 0],
  [2, 2, 2, 2, 32, 1, 1, 0],
  [2, 2, 2, 4, 32, 1, 1, 0],
  [1, 4, 1, 2, 32, 1, 1, 0],
  [1, 4, 1, 2, 64, 1, 1, 0],
  [1, 4, 2, 2, 64, 1, 1, 0],
  [2, 4, 2, 2, 64, 1, 1, 0],
  [2, 4, 2, 1, 64, 1, 1, 0],
  [1, 2, 2, 1, 32, 1, 1, 0],
  [2, 4, 4, 2, 32, 1, 2, 0],
  [2, 4, 4, 2, 32, 1, 2, 256],
  [2, 4, 4, 2, 32, 1, 2, 512],
  [2, 2, 4, 4, 32, 1, 2, 0],
  [2, 2, 4, 2, 32, 1, 2, 256],
  [2, 4, 2, 2, 32, 1, 2, 256],
  [2, 4, 2, 2, 64, 1, 2, 256],
  [1, 4, 2, 2, 32, 1, 2, 256],
  [1, 2, 2, 1, 32, 1, 2, 0],
  [1, 2, 2, 1, 32, 1, 2, 256],
];

export interface GemmVariant {
  terms: Terms;
  tiling: PackedTiling;
}

/** The variants that fit an adapter; its matrix units multiply `units` matrices. */
export function packedVariants(
  units: readonly { M: number; N: number; K: number }[],
  {
    subgroupSize,
    mostInvocations,
    memory,
    emulated,
  }: { subgroupSize: number; mostInvocations: number; memory: number; emulated: boolean },
): GemmVariant[] {
  const variants: GemmVariant[] = [];
  for (const { M, N, K } of units) {
    for (const plan of PLANS) {
      const [subgroupRows, subgroupColumns, rowMatrices, columnMatrices, tileK, buffers, terms, flush] = plan;
      const tiling: PackedTiling = {
        matrixRows: M,
        matrixColumns: N,
        matrixK: K,
        subgroupSize,
        subgroupRows,
        subgroupColumns,
        rowMatrices,
        columnMatrices: (columnMatrices * 16) / N,
        tileK,
        buffers,
        flush,
      };
      const fits =
        packedWorkgroup(tiling) <= mostInvocations && packedMemory(tiling, terms, emulated) <= memory;
      if (fits) {
        variants.push({ terms, tiling });
      }
    }
  }
  return variants;
}

const PLAIN_TILINGS: readonly GemmTiling[] = [
  { rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 2 },
  { rowQuads: 2, columnQuads: 2, tileK: 16, buffers: 1 },
  { rowQuads: 1, columnQuads: 2, tileK: 16, buffers: 2 },
  { rowQuads: 1, columnQuads: 1, tileK: 16, buffers: 2 },
];

export interface GemmSweep {
  block: Uint16Array;
  rows: readonly number[];
  names: readonly MatrixShape["name"][];
  /** Whether matrices are computed by plain arithmetic, with these units as examples. */
  emulated: boolean;
  isQuick: boolean;
}

export async function sweepGemm(
  lab: SweepLab,
  layer: LayerShape,
  { block, rows: rowCounts, names, emulated, isQuick }: GemmSweep,
  onLine: (line: SweepLine) => void,
): Promise<void> {
  const { features, limits } = lab.context;
  const matrices = matricesOf(layer).filter(({ name }) => names.includes(name));
  const weights = Float32Array.from(block, fromBf16);
  const mostRows = Math.max(...rowCounts);
  const widest = Math.max(...matrices.map(({ columns }) => columns));
  const numbers = normalNumbers(mostRows * widest, 11);
  const x = await lab.buffer("x", numbers);
  const vectors = await lab.buffer("vectors", 16);
  const packed = await lab.buffer("packed", packedMatrixWords(mostRows, widest, 2) * 4);
  const units = emulated
    ? [{ M: 16, N: 16, K: 16 }]
    : halfUnits(features).filter(({ M, N, K }) => M === 16 && N >= 8 && K === 16);
  const all = packedVariants(units, {
    subgroupSize: emulated ? 4 : features.subgroupMaxSize,
    mostInvocations: limits.maxComputeInvocationsPerWorkgroup,
    memory: limits.maxComputeWorkgroupStorageSize,
    emulated,
  });
  const variants = isQuick ? all.filter((_, i) => i % Math.ceil(all.length / QUICK_VARIANTS) === 0) : all;

  for (const matrix of matrices) {
    const weight = await lab.repeated("weight", block, matrix.rows * matrix.columns * 2);
    const packedWeight = await lab.buffer(
      "packed weight",
      packedMatrixWords(matrix.rows, matrix.columns) * 4,
    );
    const output = await lab.buffer("output", mostRows * matrix.rows * 4);
    const shape: GemmShape = {
      format: matrix.format,
      columns: matrix.columns,
      outputColumns: matrix.rows,
      bias: false,
      accumulate: false,
      quads: true,
      maxRows: mostRows,
    };
    const packWeight: Launch = {
      spec: packWeightKernel(matrix),
      buffers: [weight, packedWeight],
      params: packWeightParams(matrix.rows),
      workgroups: [...packWeightWorkgroups(matrix.rows, limits.maxComputeWorkgroupsPerDimension), 1],
    };
    await lab.run([packWeight]);
    if (lab.isTimed) {
      const seconds = (await lab.time([packWeight, packWeight])) / 2;
      onLine({
        family: "pack weight",
        shape: matrix.name,
        variant: "",
        parameters: {},
        error: 0,
        mostError: 0,
        seconds,
        rate: { value: (matrix.rows * matrix.columns * 4) / seconds, unit: "GB/s" },
      });
    }
    await lab.compile([
      ...variants.map(({ terms, tiling }) => gemmPackedKernel(shape, terms, tiling, emulated)),
      ...PLAIN_TILINGS.map((tiling) => gemmKernel(shape, "exact", tiling)),
    ]);
    await lab.warm(Array<Launch>(100).fill(packWeight));
    for (const rows of rowCounts) {
      const rowWords = await lab.buffer("rows", rowsBuffer(mostRows, rows));
      const samples = samplesOf(numbers, weights, rows, matrix);
      const params = gemmParams({ bias: 0, first: 0, count: matrix.rows });
      const report = async (
        variant: string,
        parameters: object,
        mostError: number,
        launch: Launch,
      ): Promise<void> => {
        const line = {
          family: "gemm",
          shape: `${matrix.name}, ${rows} rows`,
          variant,
          parameters,
          mostError,
        };
        try {
          await lab.run([launch]);
          const error = await errorOf(lab, output, samples, matrix);
          const seconds = lab.isTimed
            ? (await lab.time(Array<Launch>(LAUNCHES).fill(launch))) / LAUNCHES
            : undefined;
          const operations = 2 * rows * matrix.rows * matrix.columns;
          onLine({
            ...line,
            error,
            seconds,
            rate: seconds === undefined ? undefined : { value: operations / seconds, unit: "TFLOP/s" },
          });
        } catch (failure) {
          onLine({ ...line, error: Infinity, failure: String(failure).slice(0, 200) });
          lab.context.checkAlive();
        }
      };
      for (const tiling of isQuick ? PLAIN_TILINGS.slice(0, 1) : PLAIN_TILINGS) {
        await report(
          `exact ${tileSize(tiling).rows} × ${tileSize(tiling).columns}, ${tiling.buffers} buffers`,
          tiling,
          MOST_ERROR.exact,
          {
            spec: gemmKernel(shape, "exact", tiling),
            buffers: [x, vectors, weight, output, rowWords],
            params,
            workgroups: [
              ...gemmWorkgroups(rows, matrix.rows, tileSize(tiling), limits.maxComputeWorkgroupsPerDimension),
              1,
            ],
          },
        );
      }
      let terms: Terms | undefined;
      for (const { terms: wanted, tiling } of variants.toSorted((a, b) => a.terms - b.terms)) {
        if (wanted !== terms) {
          terms = wanted;
          await lab.run([
            { spec: packKernel(matrix.columns, terms), buffers: [x, packed], workgroups: [rows, 1, 1] },
          ]);
        }
        const tile = packedTileSize(tiling);
        await report(
          `${wanted === 2 ? "split" : "packed"} ${tile.rows} × ${tile.columns} by ${tiling.subgroupRows} × ${tiling.subgroupColumns} of ${tiling.matrixRows}×${tiling.matrixColumns}, K ${tiling.tileK}, ${tiling.buffers} buffers, flush ${tiling.flush}`,
          { terms: wanted, tiling },
          MOST_ERROR[wanted],
          {
            spec: gemmPackedKernel(shape, wanted, tiling, emulated),
            buffers: [packed, vectors, packedWeight, output, rowWords],
            params,
            workgroups: [
              ...gemmWorkgroups(rows, matrix.rows, tile, limits.maxComputeWorkgroupsPerDimension),
              1,
            ],
          },
        );
      }
      lab.release(rowWords);
    }
    lab.release(weight, packedWeight, output);
  }
  lab.release(x, vectors, packed);
}

/** An output that is looked at, and what it is in f64. */
interface Sample {
  row: number;
  column: number;
  expected: number;
  /** Σ |x| |w|. */
  magnitude: number;
}

function samplesOf(
  numbers: Float32Array,
  weights: Float32Array,
  rows: number,
  matrix: MatrixShape,
): Sample[] {
  const { columns } = matrix;
  const pickedRows = [0, Math.floor(rows / 2), rows - 1];
  return Array.from({ length: SAMPLES }, (_, i) => {
    const row = pickedRows[i % pickedRows.length];
    const column = Math.floor(((i + 0.5) * matrix.rows) / SAMPLES);
    let expected = 0;
    let magnitude = 0;
    for (let k = 0; k < columns; k++) {
      const product = numbers[row * columns + k] * weights[(column * columns + k) % weights.length];
      expected += product;
      magnitude += Math.abs(product);
    }
    return { row, column, expected, magnitude };
  });
}

/** The largest error of the samples, as a part of their magnitudes. */
async function errorOf(
  lab: SweepLab,
  output: GPUBuffer,
  samples: readonly Sample[],
  matrix: MatrixShape,
): Promise<number> {
  const rows = new Map<number, Float32Array>();
  for (const row of new Set(samples.map((sample) => sample.row))) {
    rows.set(row, await lab.read(output, row * matrix.rows * 4, matrix.rows));
  }
  const errors = samples.map(
    ({ row, column, expected, magnitude }) =>
      Math.abs((rows.get(row)?.[column] ?? NaN) - expected) / magnitude,
  );
  return errors.some(Number.isNaN) ? Infinity : Math.max(...errors);
}
