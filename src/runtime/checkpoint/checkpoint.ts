/** One view over a checkpoint directory: a single file of weights, or shards with their index; safetensors or PyTorch's. */
import { basename, join } from "node:path";
import { distance } from "fastest-levenshtein";
import { clip } from "../../base/clip.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";
import { fileStatus, isFile, listDirectory, readJsonObject } from "../platform/files.ts";
import { readPytorchFile } from "./pytorch/pytorch-file.ts";
import { haveSameBytes } from "./same-bytes.ts";
import { readSafetensorsHeader } from "./safetensors.ts";
import type { CheckpointDType, TensorLocation } from "./tensor-location.ts";

export type CheckpointFormat = "safetensors" | "pytorch";

interface FormatFiles {
  format: CheckpointFormat;
  /** Name of the weight file, where there is one only. */
  single: string;
  /** Name of the file that says in which shard each tensor is. */
  index: string;
  /** Extension of every weight file. */
  extension: string;
  readTensors: (path: string) => Promise<TensorLocation[]>;
}

/** The formats in order of preference, each with a single file before an index, as in transformers. */
const FORMATS: readonly [FormatFiles, ...FormatFiles[]] = [
  {
    format: "safetensors",
    single: "model.safetensors",
    index: "model.safetensors.index.json",
    extension: ".safetensors",
    readTensors: async (path) => (await readSafetensorsHeader(path)).tensors,
  },
  {
    format: "pytorch",
    single: "pytorch_model.bin",
    index: "pytorch_model.bin.index.json",
    extension: ".bin",
    readTensors: readPytorchFile,
  },
];

/** A file by which a checkpoint is known: the whole of it, or the index of its shards. */
export interface WeightFile {
  readonly file: string;
  readonly isIndex: boolean;
}

/** The first of these that a directory has is the checkpoint that is read. */
export const WEIGHT_FILES: readonly WeightFile[] = FORMATS.flatMap(({ single, index }) => [
  { file: single, isIndex: false },
  { file: index, isIndex: true },
]);

const WANTED_FILES = WEIGHT_FILES.map(({ file }) => file);

/** Weight files of other formats, named in the error when there is nothing else. */
const UNSUPPORTED_WEIGHTS = /\.(gguf|onnx|h5|msgpack|pt|pth|ckpt)$/;

const REFETCH = "The checkpoint is incomplete or its files do not belong together: fetch it again.";

/** The weight files of a model, opened: where each tensor lies. Plain data; no weight has been read. */
export interface Checkpoint {
  directory: string;
  format: CheckpointFormat;
  /** Paths of the weight files. */
  files: readonly string[];
  /** The tensors, by their names in the files. */
  tensors: ReadonlyMap<string, TensorLocation>;
  /** Bytes of all tensors together; one under two names counts twice. */
  totalBytes: number;
  /** What people should know of the files, in sentences. */
  notices: readonly string[];
  /** The base model's prefix, which ends with a dot; see withBasePrefix. */
  basePrefix?: string;
  /** Prefixes in the place of others, as [asked for, in the files]; see withBasePrefix. */
  otherPrefixes?: readonly (readonly [string, string])[];
}

/**
 * Reads and checks the headers of all weight files in a directory; no weight is read. Looked for are
 * `model.safetensors`, its index, `pytorch_model.bin` and its index, in this order. Throws "not-found" when there is none
 * of them, "unsupported" when there are only weights of another format, and "invalid-checkpoint" for anything damaged or
 * inconsistent.
 */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const found = await findWeights(directory);
  if (found === undefined) {
    throw await noWeights(directory);
  }
  const { files, weightMap } = found;
  if (weightMap === undefined) {
    return openFiles(directory, files, [files.single]);
  }
  const checkpoint = await openFiles(directory, files, [...new Set(weightMap.values())]);
  const notice = againstIndex(checkpoint, files, weightMap);
  return notice === undefined ? checkpoint : { ...checkpoint, notices: [...checkpoint.notices, notice] };
}

/**
 * The same checkpoint, in which requireTensor finds a tensor under its name with the base model's prefix whether the
 * file has the prefix or not: hubs' files have `transformer.h.0.…` or `h.0.…` for one and the same tensor (transformers
 * calls it base_model_prefix).
 * @param prefix "transformer" or "transformer."; "" where files of both have the same names
 * @param otherPrefixes prefixes that files may have in the place of others, as [asked for, in the files]
 */
export function withBasePrefix(
  checkpoint: Checkpoint,
  prefix: string,
  otherPrefixes?: readonly (readonly [string, string])[],
): Checkpoint {
  if (prefix === "") {
    return { ...checkpoint, otherPrefixes };
  }
  return { ...checkpoint, basePrefix: prefix.endsWith(".") ? prefix : `${prefix}.`, otherPrefixes };
}

/**
 * The files a checkpoint directory should have but has not; empty when it is complete. Weights of formats that
 * are not supported count as weights here: openCheckpoint refuses them by name.
 */
export async function missingWeightFiles(directory: string): Promise<string[]> {
  const found = await findWeights(directory);
  if (found !== undefined) {
    return missingFiles(directory, [...new Set(found.weightMap?.values())]);
  }
  const others = (await listDirectory(directory)).filter((name) => UNSUPPORTED_WEIGHTS.test(name));
  for (const name of others) {
    if (await isFile(join(directory, name))) {
      return [];
    }
  }
  const [{ single, index }] = FORMATS;
  return [`${single} (or ${index} with its shards)`];
}

const FLOATS = ["F32", "F16", "BF16"] as const;

/** A tensor of an element type that kernels read. */
export type WeightTensor<D extends CheckpointDType = (typeof FLOATS)[number]> = TensorLocation & { dtype: D };

/**
 * The tensor of that name, which must have that shape and one of these dtypes. A vector [n] may be stored as [1, n]
 * (BART's final_logits_bias). Throws "invalid-checkpoint" (missing: with the nearest names; wrong shape) or "unsupported"
 * (dtype).
 */
export function requireTensor(checkpoint: Checkpoint, name: string, shape: readonly number[]): WeightTensor;
export function requireTensor<D extends CheckpointDType>(
  checkpoint: Checkpoint,
  name: string,
  shape: readonly number[],
  dtypes: readonly D[],
): WeightTensor<D>;
export function requireTensor(
  checkpoint: Checkpoint,
  name: string,
  shape: readonly number[],
  dtypes: readonly CheckpointDType[] = FLOATS,
): TensorLocation {
  const stored = findTensor(checkpoint, name);
  if (stored === undefined) {
    const near = nearestNames(name, [...checkpoint.tensors.keys()]);
    throw new ModelComposeError(
      "invalid-checkpoint",
      `Tensor "${name}" of shape [${shape.join(", ")}] is not in the checkpoint "${checkpoint.directory}" ` +
        `(${checkpoint.tensors.size} tensors${near.length > 0 ? `, the nearest: ${near.join(", ")}` : ""}).`,
      { remedy: "Check that the weights belong to the config.json beside them." },
    );
  }
  const tensor = shape.length === 1 ? asVector(stored) : stored;
  if (
    tensor.foreignType === undefined &&
    (tensor.shape.length !== shape.length || shape.some((size, axis) => size !== tensor.shape[axis]))
  ) {
    throw new ModelComposeError(
      "invalid-checkpoint",
      `Tensor "${stored.name}" in "${stored.file}" has shape [${stored.shape.join(", ")}]; ` +
        `expected [${shape.join(", ")}].`,
      { remedy: "Check that the weights belong to the config.json beside them." },
    );
  }
  const { dtype, foreignType } = tensor;
  if (!dtypes.includes(dtype) || foreignType !== undefined) {
    throw new ModelComposeError(
      "unsupported",
      `Tensor "${tensor.name}" in "${tensor.file}" has dtype ${foreignType ?? dtype}; supported ${listed(dtypes)}.`,
      { remedy: "Use a checkpoint with weights of one of these types." },
    );
  }
  return { ...tensor, dtype };
}

/** The dtypes with their verb: "is I8", "are F32, F16 and BF16". */
function listed(dtypes: readonly CheckpointDType[]): string {
  const [last = "", ...others] = [...dtypes].reverse();
  return others.length === 0 ? `is ${last}` : `are ${others.reverse().join(", ")} and ${last}`;
}

/** A tensor by its name, with or without the base model's prefix or with another one; undefined without one. */
export function findTensor(checkpoint: Checkpoint, name: string): TensorLocation | undefined {
  const { tensors, basePrefix, otherPrefixes = [] } = checkpoint;
  const names = otherPrefixes
    .filter(([asked]) => name.startsWith(asked))
    .map(([asked, stored]) => stored + name.slice(asked.length));
  if (basePrefix !== undefined) {
    names.push(name.startsWith(basePrefix) ? name.slice(basePrefix.length) : basePrefix + name);
  }
  const found = [name, ...names].find((candidate) => tensors.has(candidate));
  return found === undefined ? undefined : tensors.get(found);
}

/** A tensor of shape [1, n] as one of [n]; any other as it is. */
function asVector(tensor: TensorLocation): TensorLocation {
  const [first, ...rest] = tensor.shape;
  if (first !== 1 || rest.length !== 1) {
    return tensor;
  }
  const { strides, ...vector } = { ...tensor, shape: rest };
  return strides === undefined ? vector : { ...vector, strides: strides.slice(1) };
}

/** Finds the weights that openCheckpoint prefers; `weightMap` is there when they are shards. */
async function findWeights(
  directory: string,
): Promise<{ files: FormatFiles; weightMap?: Map<string, string> } | undefined> {
  for (const files of FORMATS) {
    if (await isFile(join(directory, files.single))) {
      return { files };
    }
    if (await isFile(join(directory, files.index))) {
      return { files, weightMap: await readWeightMap(directory, files) };
    }
  }
  return undefined;
}

async function openFiles(
  directory: string,
  { format, index, readTensors }: FormatFiles,
  names: readonly string[],
): Promise<Checkpoint> {
  const missing = await missingFiles(directory, names);
  if (missing.length > 0) {
    throw new ModelComposeError(
      "invalid-checkpoint",
      `${missing.length} of ${names.length} weight files named in "${join(directory, index)}" ` +
        `are missing: ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}.`,
      { remedy: REFETCH },
    );
  }
  const files = names.map((name) => join(directory, name));
  const tensors = new Map<string, TensorLocation>();
  const twice: string[] = [];
  let totalBytes = 0;
  for (const file of files) {
    for (const tensor of await readTensors(file)) {
      const other = tensors.get(tensor.name);
      if (other !== undefined && (await haveSameBytes(tensor, other))) {
        twice.push(tensor.name);
        continue;
      }
      if (other !== undefined) {
        throw new ModelComposeError(
          "invalid-checkpoint",
          `Tensor "${tensor.name}" is in two weight files, "${other.file}" and "${file}", and they differ; expected one.`,
          { remedy: REFETCH },
        );
      }
      tensors.set(tensor.name, tensor);
      totalBytes += tensor.byteLength;
    }
  }
  const notices =
    twice.length === 0
      ? []
      : [
          `Two weight files of "${directory}" have the same tensor, as "${clip(twice[0] ?? "")}" (${twice.length} in all).`,
        ];
  return { directory, format, files, tensors, totalBytes, notices };
}

/** Reads the index: each tensor's name with the name of its shard's file. */
async function readWeightMap(
  directory: string,
  { index, extension }: FormatFiles,
): Promise<Map<string, string>> {
  const path = join(directory, index);
  const { weight_map: weightMap } = await readJsonObject(path, "index", {
    code: "invalid-checkpoint",
    remedy: REFETCH,
  });
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
      if (!isPlainFileName(file, extension)) {
        throw fail(
          `"weight_map" gives tensor "${tensor}" the file ${describeJson(file)}; ` +
            `expected the name of a ${extension} file in the same directory`,
        );
      }
      return [tensor, file];
    }),
  );
}

/**
 * Whether a name has no separator of any platform, no drive and no control character, so that it stays in the
 * directory.
 */
function isPlainFileName(name: string, extension: string): boolean {
  return name.endsWith(extension) && /^[^/\\:\p{Cc}]+$/u.test(name.slice(0, -extension.length));
}

/**
 * What an index says that its shards do not have. Who needs such a tensor misses it by its name (requireTensor): it may be one
 * that is tied to another, or computed.
 */
function againstIndex(
  { directory, tensors }: Checkpoint,
  { index }: FormatFiles,
  weightMap: ReadonlyMap<string, string>,
): string | undefined {
  const elsewhere = [...weightMap].filter(
    ([name, shard]) => tensors.get(name)?.file !== join(directory, shard),
  );
  const [first] = elsewhere;
  if (first === undefined) {
    return undefined;
  }
  const [name, shard] = first;
  const found = tensors.get(name)?.file;
  return (
    `"${join(directory, index)}" says that tensor "${clip(name)}" is in "${shard}", but it is in ` +
    `${found === undefined ? "no weight file" : `"${basename(found)}"`} (${elsewhere.length} such in all).`
  );
}

async function missingFiles(directory: string, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) {
    if (!(await isFile(join(directory, name)))) {
      missing.push(name);
    }
  }
  return missing;
}

async function noWeights(directory: string): Promise<ModelComposeError> {
  const status = await fileStatus(directory);
  if (status?.kind !== "directory") {
    return new ModelComposeError(
      "not-found",
      `"${directory}" ${status === undefined ? "does not exist" : "is not a directory"}; ` +
        `expected a directory with ${WANTED_FILES.join(" or ")}.`,
      { remedy: "Name the directory that holds the model's files." },
    );
  }
  const others = (await listDirectory(directory)).filter((name) => UNSUPPORTED_WEIGHTS.test(name));
  if (others.length > 0) {
    return new ModelComposeError(
      "unsupported",
      `"${directory}" holds weights only as ${others.slice(0, 3).join(", ")}, which is not supported for now; ` +
        `looked for ${WANTED_FILES.join(", ")}.`,
      { remedy: "Use a revision of the model in safetensors format, or convert it." },
    );
  }
  return new ModelComposeError(
    "not-found",
    `No weights in "${directory}": looked for ${WANTED_FILES.join(", ")}.`,
    { remedy: "Put the model's weight files there, or name another directory." },
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
