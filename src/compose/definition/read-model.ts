import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { checkRevision } from "../../models/hub/repository.ts";
import { ModelComposeError, withoutRemedy } from "../../base/errors.ts";
import type { ModelHubOptions, ModelReference } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "../source/problems.ts";
import { describeNode, type SourceNode } from "../source/source-tree.ts";

/**
 * Reads `model:`, a text or a mapping. A text that begins with ./, ../, ~/, / or a drive letter is a folder, as
 * is one that names a folder beside the compose file; any other is a repository on the Hugging Face hub.
 * Relative folders are relative to the file in which they are written.
 */
export function readModel(reader: MappingReader, problems: ProblemList): ModelReference | undefined {
  const entry = reader.take("model");
  if (entry === undefined) {
    reader.missing(
      "model",
      "Add model: with a folder or the id of a repository, such as HuggingFaceTB/SmolLM3-3B.",
    );
    return undefined;
  }
  if (entry.value.kind !== "mapping") {
    const name = reader.literalOf("model", entry.value, "a text or a mapping", isName);
    return name === undefined ? undefined : fromText(name, entry.value);
  }
  const model = reader.mappingOf("model", entry.value, `${reader.where} model`);
  return model === undefined ? undefined : readModelMapping(model, problems);
}

function fromText(name: string, node: SourceNode): ModelReference {
  const folder = resolveFolder(name, node);
  const isFolder = /^(\.{1,2}([\\/]|$)|~[\\/]|[\\/]|[A-Za-z]:[\\/])/.test(name) || existsSync(folder);
  return { name, source: isFolder ? folder : name };
}

function resolveFolder(name: string, node: SourceNode): string {
  if (/^~[\\/]/.test(name)) {
    return path.join(homedir(), name.slice(2));
  }
  return path.resolve(path.dirname(node.location.file.path), name);
}

function readModelMapping(model: MappingReader, problems: ProblemList): ModelReference | undefined {
  const provider = model.choice("provider", ["huggingface", "local"], ["named"]);
  // The file does not say which files of a repository are fetched, nor where a folder came from.
  model.refuse("filename", "allow_patterns", "url", "bundled", "name");
  // The folder shows which of the two formats the weights have.
  model.choice("format", ["safetensors", "pytorch"], ["onnx", "gguf", "tensorrt"]);
  const given = model.takeOneOf("repository", "path");
  const key = provider === "local" ? "path" : provider === "huggingface" ? "repository" : given?.name;
  const valid = given !== undefined && given.name === key;
  if (given === undefined) {
    model.missing(key ?? "repository", "Add repository: (on the hub) or path: (a folder).");
  } else if (!valid) {
    problems.invalid(
      `${model.where}: provider ${provider ?? "huggingface"} takes "${key ?? "repository"}", found "${given.name}" ${describeNode(given.value)}.`,
      given.key,
    );
  }
  const name = valid ? model.literalOf(given.name, given.value, "a text", isName) : undefined;
  const hub = readHubOptions(model, problems, key);
  model.finish();
  if (name === undefined || given === undefined) {
    return undefined;
  }
  return given.name === "path"
    ? { name, source: resolveFolder(name, given.value) }
    : { name, source: name, ...(hub === undefined ? {} : { hub }) };
}

/** Reads what is said about fetching a repository; undefined when nothing is. */
function readHubOptions(
  model: MappingReader,
  problems: ProblemList,
  key: string | undefined,
): ModelHubOptions | undefined {
  for (const name of ["revision", "token", "cache_dir", "local_files_only"]) {
    const entry = model.take(name);
    if (entry === undefined || key !== "path") {
      continue;
    }
    problems.invalid(
      `${model.where}: "${name}" is for a repository, not for a folder.`,
      entry.key,
      "Remove it.",
    );
  }
  const cacheEntry = model.take("cache_dir");
  const cacheName = cacheEntry && model.literalOf("cache_dir", cacheEntry.value, "a folder", isName);
  const options: ModelHubOptions = {
    revision: readRevision(model, problems),
    // A variable that may be empty says that there is none.
    token: model.text("token")?.trim() || undefined,
    cacheDirectory: cacheEntry && cacheName && resolveFolder(cacheName, cacheEntry.value),
    localFilesOnly: model.flag("local_files_only"),
  };
  return Object.values(options).some((value) => value !== undefined) ? options : undefined;
}

function readRevision(model: MappingReader, problems: ProblemList): string | undefined {
  const entry = model.take("revision");
  const revision = entry && model.literalOf("revision", entry.value, "a text", isName);
  if (entry === undefined || revision === undefined) {
    return undefined;
  }
  try {
    checkRevision(revision);
    return revision;
  } catch (error) {
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    problems.invalid(`${model.where}: ${withoutRemedy(error)}`, entry.value.location, error.remedy);
    return undefined;
  }
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.trim() !== "";
}
