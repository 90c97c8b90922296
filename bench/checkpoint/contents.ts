/** What a random checkpoint holds, and how to read it off any model's config.json. */
import { join } from "node:path";
import { describeModel } from "../../src/models/describe-model.ts";
import { CONFIG_FILE, GENERATION_CONFIG_FILE } from "../../src/models/model-files.ts";
import { isFile, readJsonObject } from "../../src/runtime/platform/files.ts";
import type { MatrixSpec, Program } from "../../src/runtime/program.ts";

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** Norm weights are near 1, all others normal around 0. */
  readonly kind: "norm" | "matrix";
}

/** What `writeCheckpoint` writes. */
export interface CheckpointContents {
  readonly tensors: readonly TensorSpec[];
  /** Number of columns of the residual stream, which sets the spread of the weights. */
  readonly width: number;
  /** Gives the config.json of weights stored as `torchDtype`. */
  readonly config: (torchDtype: string) => Record<string, unknown>;
  readonly generationConfig: Record<string, unknown>;
}

/**
 * The contents of a checkpoint for the model whose config.json lies in `directory`: every tensor that its family reads.
 *
 * @throws ModelComposeError for a config that is missing, wrong or of an unsupported family
 */
export async function checkpointOfConfig(directory: string): Promise<CheckpointContents> {
  const { program } = await describeModel(directory);
  const read = (name: string): Promise<Record<string, unknown>> =>
    readJsonObject(join(directory, name), "config", {
      code: "invalid-config",
      remedy: "Correct the file, or fetch it again.",
    });
  const config = await read(CONFIG_FILE);
  const hasGenerationConfig = await isFile(join(directory, GENERATION_CONFIG_FILE));
  return {
    tensors: tensorsOf(program),
    width: Math.min(...[...program.matrices.values()].map(({ columns }) => columns)),
    config: (torchDtype) => ({ ...config, dtype: undefined, torch_dtype: torchDtype }),
    generationConfig: hasGenerationConfig ? await read(GENERATION_CONFIG_FILE) : {},
  };
}

/** The tensors of a checkpoint that a Program reads, each once. */
function tensorsOf({ matrices, vectors }: Program): TensorSpec[] {
  const tensors = new Map<string, TensorSpec>();
  const add = (name: string, { rows, columns, source }: MatrixSpec, isVector: boolean): void => {
    const { tensor = name, rows: tensorRows = rows, transposed = false } = source ?? {};
    const shape = isVector ? [tensorRows] : transposed ? [columns, tensorRows] : [tensorRows, columns];
    const isNorm = isVector && /(norm|ln)[^.]*\.weight$/.test(tensor);
    tensors.set(tensor, { name: tensor, shape, kind: isNorm ? "norm" : "matrix" });
  };
  for (const [name, spec] of matrices) {
    add(name, spec, false);
  }
  for (const [name, { length, source }] of vectors) {
    add(name, { rows: length, columns: 1, source }, true);
  }
  return [...tensors.values()];
}
