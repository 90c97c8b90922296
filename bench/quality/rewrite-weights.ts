/** Writes a copy of a model's folder whose matrices have been changed, all weights as f32 in one file. */
import { copyFile, mkdir, open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CONFIG_FILE } from "../../src/models/model-files.ts";
import { openModel } from "../../src/models/open-model.ts";
import type { WeightTensor } from "../../src/runtime/checkpoint/checkpoint.ts";
import { vectorValues } from "../../src/runtime/checkpoint/vector-values.ts";
import { openFile } from "../../src/runtime/platform/files.ts";
import type { Program } from "../../src/runtime/program.ts";

/** What is known of a matrix that is to be changed. */
export interface MatrixTensor {
  readonly name: string;
  readonly columns: number;
  /** Whether it is the table of tokens or the output layer. */
  readonly isTable: boolean;
}

/** Changes a matrix, row by row, in place. */
export type Rewrite = (values: Float32Array, matrix: MatrixTensor) => void;

/**
 * Writes the folder; one tensor at a time is in memory. Vectors stay what they are.
 *
 * @param directory a folder that is not there yet
 * @returns how many tensors were written
 */
export async function rewriteWeights(source: string, directory: string, rewrite: Rewrite): Promise<number> {
  const { program, checkpoint } = await openModel(source);
  const tables = tablesOf(program);
  await mkdir(directory);
  for (const name of await readdir(source)) {
    if (/\.(json|txt)$/.test(name) && !/^(config|model\.safetensors\.index)\.json$/.test(name)) {
      await copyFile(join(source, name), join(directory, name));
    }
  }
  const tensors = [...checkpoint.tensors.values()] as WeightTensor[];
  const target = await open(join(directory, "model.safetensors"), "wx");
  try {
    await target.appendFile(headerOf(tensors));
    for (const tensor of tensors) {
      const file = openFile(tensor.file);
      const bytes = new Uint8Array(tensor.byteLength);
      file.read(bytes, tensor.offset);
      file.close();
      const values = vectorValues(tensor, bytes);
      const [, columns] = tensor.shape;
      if (columns !== undefined) {
        rewrite(values, { name: tensor.name, columns, isTable: tables.has(tensor.name) });
      }
      await target.appendFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  } finally {
    await target.close();
  }
  const config = JSON.parse(await readFile(join(source, CONFIG_FILE), "utf8")) as object;
  await writeFile(
    join(directory, CONFIG_FILE),
    `${JSON.stringify({ ...config, torch_dtype: "float32" }, undefined, 2)}\n`,
  );
  return tensors.length;
}

function tablesOf({ entries, matrices }: Program): Set<string> {
  const ops = [...entries.values()].flat().flatMap((group) => group.ops);
  const names = ops.flatMap((op) =>
    op.role === "embed" ? [op.table] : op.role === "logits" ? [op.weight] : [],
  );
  return new Set(names.map((name) => matrices.get(name)?.source?.tensor ?? name));
}

function headerOf(tensors: readonly WeightTensor[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const { name, shape } of tensors) {
    const begin = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [begin, end] };
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}
