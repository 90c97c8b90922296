/** Which files of a repository a model needs: configuration, tokenizer, and the weights in one format. */
import { join } from "node:path";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";
import {
  ADDED_TOKENS_FILE,
  CHAT_TEMPLATE_FILE,
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  QUANTIZATION_FILES,
  TOKENIZER_COMPANIONS,
  TOKENIZER_FILE,
  VOCABULARY_FILES,
  WEIGHT_FILES,
} from "../model-files.ts";
import { FILE_LIMITS, readJsonObject } from "../../runtime/platform/files.ts";
import { isPlainName, type HubFile } from "./api.ts";
import type { WeightFile } from "../../runtime/checkpoint/checkpoint.ts";
import type { Requirement } from "./cache.ts";

/** The names of the files that a model needs of a repository. */
export interface NeededFiles {
  /** The configuration, the tokenizer and the index of the weights. */
  readonly small: readonly string[];
  /** The weights, or their index; absent when no weights are needed. */
  readonly weights?: WeightFile;
  /** Files that a model could have and this repository has not. */
  readonly absent: readonly string[];
}

/**
 * Chooses among the files that a repository has.
 *
 * @param id the repository's id, for messages
 * @throws ModelComposeError "unsupported" for a repository that is no model, or has only weights of other formats
 */
export function neededFiles(names: ReadonlySet<string>, requires: Requirement, id: string): NeededFiles {
  if (requires !== "tokenizer" && !names.has(CONFIG_FILE)) {
    throw noModel(names, id);
  }
  const optional = [CONFIG_FILE, GENERATION_CONFIG_FILE];
  // They are fetched to be refused before the weights are.
  const quantization = requires === "tokenizer" ? [] : QUANTIZATION_FILES.filter((name) => names.has(name));
  if (requires !== "config") {
    optional.push(TOKENIZER_FILE, ...TOKENIZER_COMPANIONS);
  }
  // The vocabulary's own files are read only where there is no tokenizer.json.
  if (requires !== "config" && !names.has(TOKENIZER_FILE)) {
    optional.push(...VOCABULARY_FILES);
  }
  const small = [...optional.filter((name) => names.has(name)), ...quantization];
  const absent = optional.filter((name) => !names.has(name));
  if (requires !== "model") {
    return { small, absent };
  }
  const weights = WEIGHT_FILES.find(({ file }) => names.has(file));
  if (weights === undefined) {
    throw noWeights(names, id);
  }
  if (weights.isIndex) {
    small.push(weights.file);
  }
  return { small, weights, absent };
}

/** What the files that are read whole are, where they are no configuration. */
const KINDS: Readonly<Record<string, keyof typeof FILE_LIMITS>> = {
  [TOKENIZER_FILE]: "tokenizer",
  [ADDED_TOKENS_FILE]: "tokenizer",
  ...Object.fromEntries(VOCABULARY_FILES.map((name) => [name, "tokenizer"])),
  ...Object.fromEntries(WEIGHT_FILES.map(({ file }) => [file, "index"])),
  [CHAT_TEMPLATE_FILE]: "template",
};

/**
 * Refuses files that are longer than any that is read here, before they are fetched.
 *
 * @param files those of the repository, by name
 * @param small the names of those that are read whole
 * @throws ModelComposeError "invalid-config"
 */
export function refuseLongFiles(
  files: ReadonlyMap<string, Pick<HubFile, "size">>,
  small: readonly string[],
  id: string,
): void {
  for (const name of small) {
    const { size } = files.get(name) ?? { size: 0 };
    const most = FILE_LIMITS[KINDS[name] ?? "config"];
    if (size > most) {
      throw new ModelComposeError(
        "invalid-config",
        `"${name}" of "${id}" has ${size} bytes; expected at most ${most}.`,
        { remedy: "Use another revision of the repository, or the original model." },
      );
    }
  }
}

/**
 * The shards that an index names, sorted.
 *
 * @param directory the folder in which the index lies
 * @throws ModelComposeError "invalid-checkpoint" for an index that names nothing, or what is no plain file name
 */
export async function shardsOfIndex(directory: string, index: string): Promise<string[]> {
  const path = join(directory, index);
  const remedy = "The repository is faulty: use another revision of it.";
  const { weight_map: map } = await readJsonObject(path, "index", { code: "invalid-checkpoint", remedy });
  const names = isJsonObject(map) ? [...new Set(Object.values(map))] : [];
  if (names.length > 0 && names.every(isPlainName)) {
    return names.sort();
  }
  const found = names.find((name) => !isPlainName(name)) ?? map;
  throw new ModelComposeError(
    "invalid-checkpoint",
    `"${path}": "weight_map" has ${describeJson(found)}; expected names of files in the same directory.`,
    { remedy },
  );
}

function noModel(names: ReadonlySet<string>, id: string): ModelComposeError {
  const has = [...names].some((name) => name.endsWith(".gguf"));
  return new ModelComposeError(
    "unsupported",
    `"${id}" has no ${CONFIG_FILE}${has ? ", only GGUF files" : ""}: it is no model in the format of transformers.`,
    { remedy: "Use the repository of the original model." },
  );
}

function noWeights(names: ReadonlySet<string>, id: string): ModelComposeError {
  const others = [...names].filter((name) =>
    /\.(gguf|onnx|h5|msgpack|pt|pth|ckpt|bin|safetensors)$/.test(name),
  );
  const found = others.length === 0 ? "none" : others.slice(0, 3).join(", ");
  return new ModelComposeError(
    "unsupported",
    `"${id}" has no weights that can be read here: looked for ${WEIGHT_FILES.map(({ file }) => file).join(", ")}; found ${found}.`,
    { remedy: "Use a repository, or a revision, with safetensors files." },
  );
}
