import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import type { ModelReference } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "./problems.ts";
import { describeNode, type SourceNode } from "./source-tree.ts";

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
  if (/^~[\\/]/.test(name)) return path.join(homedir(), name.slice(2));
  return path.resolve(path.dirname(node.location.file.path), name);
}

function readModelMapping(model: MappingReader, problems: ProblemList): ModelReference | undefined {
  const provider = model.choice("provider", ["huggingface", "local"], ["named"]);
  model.refuse("revision", "filename", "cache_dir", "allow_patterns", "url", "bundled", "name");
  model.choice("format", ["safetensors"], ["pytorch", "onnx", "gguf", "tensorrt"]);
  // Nothing is downloaded yet: a token is not needed, and files are always local.
  model.withoutEffect("token", "local_files_only");
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
  model.finish();
  if (name === undefined || given === undefined) return undefined;
  return { name, source: given.name === "path" ? resolveFolder(name, given.value) : name };
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.trim() !== "";
}
