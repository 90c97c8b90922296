/** Random weights for any Program, in a checkpoint and as numbers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint, type Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import type { MatrixSpec, Name, Program } from "../../src/runtime/program.ts";
import { safetensorsBytes, temporaryDirectory } from "./model-files.ts";
import { normalNumbers, randomMatrix, randomSource, type Format } from "./numbers.ts";

export interface RandomWeights {
  checkpoint: Checkpoint;
  /** Numbers by the Program's names, row-major. */
  values: Map<Name, ArrayLike<number>>;
}

/**
 * Writes random weights for a program. Weights that are rows of one tensor, or its transpose, are so in the checkpoint.
 *
 * @param directory for the checkpoint; default: one that goes with the test that runs
 */
export async function randomWeights(
  { matrices, vectors }: Program,
  formatOf: (name: string) => Format,
  directory = temporaryDirectory(),
): Promise<RandomWeights> {
  const random = randomSource(77);
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  const put = (name: string, dtype: string, shape: number[], bytes: Uint8Array): void => {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
    parts.push(bytes);
  };

  /** All rows of each tensor, the right way round. */
  const tensors = new Map<Name, ArrayLike<number>>();
  const values = new Map<Name, ArrayLike<number>>();
  const add = (name: Name, spec: MatrixSpec, isVector: boolean): void => {
    const { columns, source = { tensor: name, rows: spec.rows } } = spec;
    let all = tensors.get(source.tensor);
    if (all === undefined) {
      if (isVector) {
        const vector = normalNumbers(source.rows, random);
        put(source.tensor, "F32", [source.rows], new Uint8Array(vector.buffer));
        all = vector;
      } else {
        const format = formatOf(source.tensor);
        if (format === "i8-row") {
          const stored = randomMatrix(format, source.rows, columns, random);
          const elements = source.transposed ? transpose(stored.bytes, source.rows, columns) : stored.bytes;
          const shape = source.transposed ? [columns, source.rows] : [source.rows, columns];
          put(source.tensor, "I8", shape, Uint8Array.from(elements));
          put(source.scales ?? "", "F32", [source.rows], new Uint8Array(stored.scales?.slice().buffer ?? []));
          all = stored.values;
        } else {
          const shape = source.transposed ? [columns, source.rows] : [source.rows, columns];
          const stored = randomMatrix(format, shape[0], shape[1], random);
          put(source.tensor, format.toUpperCase(), shape, stored.bytes);
          all = source.transposed ? transpose(stored.values, columns, source.rows) : stored.values;
        }
      }
      tensors.set(source.tensor, all);
    }
    const rows = Array.from(all);
    const ranges = source.ranges ?? [{ start: 0, end: source.rows }];
    values.set(
      name,
      Float64Array.from(ranges.flatMap(({ start, end }) => rows.slice(start * columns, end * columns))),
    );
  };
  for (const [name, spec] of matrices) {
    add(name, spec, false);
  }
  for (const [name, { length, source, gather, affine = { scale: 1, offset: 0 } }] of vectors) {
    if (gather === undefined) {
      add(name, { rows: length, columns: 1, source }, true);
    } else {
      add(name, { rows: source?.rows ?? 0, columns: gather.columns, source }, false);
    }
    const read = Array.from(values.get(name) ?? []);
    const stored = gather === undefined ? read : gather.indices.map((i) => read[i]);
    values.set(
      name,
      Float64Array.from(stored, (value) => value * affine.scale + affine.offset),
    );
  }

  writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(header, Buffer.concat(parts)));
  return { checkpoint: await openCheckpoint(directory), values };
}

/** The transpose, [columns, rows], of a matrix [rows, columns]. */
function transpose(values: ArrayLike<number>, rows: number, columns: number): Float64Array {
  return Float64Array.from(
    { length: rows * columns },
    (_, i) => values[(i % rows) * columns + Math.floor(i / rows)],
  );
}
