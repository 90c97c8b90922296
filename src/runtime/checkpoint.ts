/** One view over a checkpoint directory: a single safetensors file, or shards with their index. */
import { join } from "node:path";
import { distance } from "fastest-levenshtein";
import { ModelComposeError } from "./errors.ts";
import type { Precision } from "./generation-types.ts";
import { describeJson, isJsonObject, readJsonObject } from "./json.ts";
import { fileStatus, isFile, listDirectory } from "./platform/files.ts";
import { readSafetensorsHeader, type TensorLocation } from "./safetensors.ts";

export const SINGLE_FILE = "model.safetensors";
export const INDEX_FILE = "model.safetensors.index.json";

/** Weight files of other formats, named in the error when there is nothing else. */
const UNSUPPORTED_WEIGHTS = /^pytorch_model.*\.bin(\.index\.json)?$|\.(gguf|onnx|h5|msgpack|pt|pth|ckpt)$/;

const REFETCH = "The checkpoint is incomplete or its files do not belong together: fetch it again.";

export interface Checkpoint {
  directory: string;
  /** Paths of the weight files. */
  files: readonly string[];
  /** By name. */
  tensors: ReadonlyMap<string, TensorLocation>;
  /** Bytes of all tensors together. */
  totalBytes: number;
}

/**
 * Reads and checks the headers of all weight files in a directory; no weight is read. `model.safetensors` is
 * preferred to an index, as in transformers. Throws "not-found" when there is neither, "unsupported" when there
 * are only weights of another format, and "invalid-checkpoint" for anything damaged or inconsistent.
 */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  if (await isFile(join(directory, SINGLE_FILE))) return openFiles(directory, [SINGLE_FILE]);
  if (await isFile(join(directory, INDEX_FILE))) {
    const weightMap = await readWeightMap(directory);
    const checkpoint = await openFiles(directory, [...new Set(weightMap.values())]);
    checkAgainstIndex(checkpoint, weightMap);
    return checkpoint;
  }
  throw await noWeights(directory);
}

/**
 * The files a checkpoint directory should have but has not; empty when it is complete. Weights of formats that
 * are not supported count as weights here: openCheckpoint refuses them by name.
 */
export async function missingWeightFiles(directory: string): Promise<string[]> {
  if (await isFile(join(directory, SINGLE_FILE))) return [];
  if (await isFile(join(directory, INDEX_FILE))) {
    const shards = [...new Set((await readWeightMap(directory)).values())];
    return missingFiles(directory, shards);
  }
  const others = (await listDirectory(directory)).filter((name) => UNSUPPORTED_WEIGHTS.test(name));
  for (const name of others) if (await isFile(join(directory, name))) return [];
  return [`${SINGLE_FILE} (or ${INDEX_FILE} with its shards)`];
}

/** A tensor of an element type that kernels read. */
export type WeightTensor = TensorLocation & { dtype: "F32" | "F16" | "BF16" };

/**
 * The tensor of that name, which must have that shape and a dtype that kernels read (F32, F16, BF16). Throws
 * "invalid-checkpoint" (missing: with the nearest names; wrong shape) or "unsupported" (dtype).
 */
export function requireTensor(checkpoint: Checkpoint, name: string, shape: readonly number[]): WeightTensor {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined) {
    const near = nearestNames(name, [...checkpoint.tensors.keys()]);
    throw new ModelComposeError(
      "invalid-checkpoint",
      `Tensor "${name}" of shape [${shape.join(", ")}] is not in the checkpoint "${checkpoint.directory}" ` +
        `(${checkpoint.tensors.size} tensors${near.length > 0 ? `, the nearest: ${near.join(", ")}` : ""}).`,
      { remedy: "Check that the weights belong to the config.json beside them." },
    );
  }
  if (tensor.shape.length !== shape.length || shape.some((size, axis) => size !== tensor.shape[axis])) {
    throw new ModelComposeError(
      "invalid-checkpoint",
      `Tensor "${name}" in "${tensor.file}" has shape [${tensor.shape.join(", ")}]; ` +
        `expected [${shape.join(", ")}].`,
      { remedy: "Check that the weights belong to the config.json beside them." },
    );
  }
  const { dtype } = tensor;
  if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
    throw new ModelComposeError(
      "unsupported",
      `Tensor "${name}" in "${tensor.file}" has dtype ${dtype}; supported are F32, F16 and BF16.`,
      { remedy: "Use a checkpoint with weights of one of these types." },
    );
  }
  return { ...tensor, dtype };
}

/**
 * Throws "unsupported" when a matrix of the checkpoint is not of the precision asked for: nothing converts weights yet.
 */
export function requirePrecision(
  checkpoint: Checkpoint,
  matrices: ReadonlyMap<string, { rows: number; columns: number }>,
  precision: Precision,
): void {
  if (precision === "stored") return;
  const wanted = { float32: "F32", float16: "F16", bfloat16: "BF16" }[precision];
  for (const [name, { rows, columns }] of matrices) {
    const { dtype } = requireTensor(checkpoint, name, [rows, columns]);
    if (dtype === wanted) continue;
    throw new ModelComposeError(
      "unsupported",
      `The precision ${precision} was asked for; tensor "${name}" of "${checkpoint.directory}" is ${dtype}, and weights are not converted.`,
      {
        remedy:
          'Leave the precision out (or "stored", in a compose file "auto"), or use a checkpoint of that type.',
      },
    );
  }
}

async function openFiles(directory: string, names: readonly string[]): Promise<Checkpoint> {
  const missing = await missingFiles(directory, names);
  if (missing.length > 0) {
    throw new ModelComposeError(
      "invalid-checkpoint",
      `${missing.length} of ${names.length} weight files named in "${join(directory, INDEX_FILE)}" ` +
        `are missing: ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}.`,
      { remedy: REFETCH },
    );
  }
  const files = names.map((name) => join(directory, name));
  const tensors = new Map<string, TensorLocation>();
  let totalBytes = 0;
  for (const file of files) {
    for (const tensor of (await readSafetensorsHeader(file)).tensors) {
      const other = tensors.get(tensor.name);
      if (other !== undefined) {
        throw new ModelComposeError(
          "invalid-checkpoint",
          `Tensor "${tensor.name}" is in two weight files, "${other.file}" and "${file}"; expected one.`,
          { remedy: REFETCH },
        );
      }
      tensors.set(tensor.name, tensor);
      totalBytes += tensor.byteLength;
    }
  }
  return { directory, files, tensors, totalBytes };
}

/** Tensor name to shard file name, both as the index has them. */
async function readWeightMap(directory: string): Promise<Map<string, string>> {
  const path = join(directory, INDEX_FILE);
  const { weight_map: weightMap } = await readJsonObject(path, "invalid-checkpoint", REFETCH);
  const fail = (problem: string): ModelComposeError =>
    new ModelComposeError("invalid-checkpoint", `"${path}": ${problem}.`, { remedy: REFETCH });
  if (!isJsonObject(weightMap) || Object.keys(weightMap).length === 0) {
    throw fail(`"weight_map" is ${describeJson(weightMap)}; expected an object of tensor name to file name`);
  }
  return new Map(
    Object.entries(weightMap).map(([tensor, file]): [string, string] => {
      if (typeof file !== "string") {
        throw fail(`"weight_map" gives tensor "${tensor}" ${describeJson(file)}; expected a file name`);
      }
      if (!isPlainFileName(file)) {
        throw fail(
          `"weight_map" gives tensor "${tensor}" the file ${describeJson(file)}; ` +
            `expected the name of a .safetensors file in the same directory`,
        );
      }
      return [tensor, file];
    }),
  );
}

/** No separator of any platform, no drive, no control character: the index cannot reach outside its directory. */
function isPlainFileName(name: string): boolean {
  return /^[^/\\:\p{Cc}]+\.safetensors$/u.test(name);
}

function checkAgainstIndex(checkpoint: Checkpoint, weightMap: ReadonlyMap<string, string>): void {
  for (const [name, shard] of weightMap) {
    const expected = join(checkpoint.directory, shard);
    const found = checkpoint.tensors.get(name)?.file;
    if (found === expected) continue;
    throw new ModelComposeError(
      "invalid-checkpoint",
      `"${join(checkpoint.directory, INDEX_FILE)}" says that tensor "${name}" is in "${expected}", ` +
        (found === undefined ? "but it is in no weight file." : `but it is in "${found}".`),
      { remedy: REFETCH },
    );
  }
}

async function missingFiles(directory: string, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) if (!(await isFile(join(directory, name)))) missing.push(name);
  return missing;
}

async function noWeights(directory: string): Promise<ModelComposeError> {
  const status = await fileStatus(directory);
  if (status?.kind !== "directory") {
    return new ModelComposeError(
      "not-found",
      `"${directory}" ${status === undefined ? "does not exist" : "is not a directory"}; ` +
        `expected a directory with ${SINGLE_FILE} or ${INDEX_FILE}.`,
      { remedy: "Name the directory that holds the model's files." },
    );
  }
  const others = (await listDirectory(directory)).filter((name) => UNSUPPORTED_WEIGHTS.test(name));
  if (others.length > 0) {
    return new ModelComposeError(
      "unsupported",
      `"${directory}" holds weights only as ${others.slice(0, 3).join(", ")}, which is not supported for now; ` +
        `looked for ${SINGLE_FILE} and ${INDEX_FILE}.`,
      { remedy: "Use a revision of the model in safetensors format, or convert it." },
    );
  }
  return new ModelComposeError(
    "not-found",
    `No weights in "${directory}": looked for ${SINGLE_FILE} and ${INDEX_FILE}.`,
    { remedy: "Put the model's safetensors files there, or name another directory." },
  );
}

/** Up to three names, the nearest by edit distance first. */
function nearestNames(name: string, names: readonly string[]): string[] {
  return names
    .map((candidate) => ({ candidate, edits: distance(name, candidate) }))
    .sort((a, b) => a.edits - b.edits)
    .slice(0, 3)
    .map(({ candidate }) => `"${candidate}"`);
}
