/** Writes a model's folder as a GGUF file, for llama.cpp: `node bench/peers/export-gguf.ts MODEL OUT.gguf`. */
import { ModelComposeError } from "../../src/base/errors.ts";
import { isFile } from "../../src/runtime/platform/files.ts";
import { runCommand } from "../harness/command.ts";
import type { Progress } from "../harness/progress.ts";
import { EXPORT_TYPES, exportModel, type ExportType } from "./export/export-model.ts";
import { parseFlags, usageError } from "../harness/usage.ts";

const USAGE = `Usage: export-gguf MODEL OUT.gguf [--type TYPE] [--embeddings TYPE] [--tokenizer DIR]
  MODEL         folder of a model: Llama (SmolLM2) or SmolLM3, real or random weights
  OUT.gguf      a new file
  --type        ${EXPORT_TYPES.join(", ")} (default bf16): how matrices are stored
  --embeddings  the same for embeddings and LM head (default: like the others)
  --tokenizer   folder of the tokenizer.json and the chat template, for a model without (default: MODEL)
`;

interface Arguments {
  model: string;
  path: string;
  type: ExportType;
  embeddings: ExportType | undefined;
  tokenizer: string | undefined;
}

function readArguments(args: string[]): Arguments | "help" {
  const { values, positionals } = parse(args);
  if (values.help) {
    return "help";
  }
  const [model, path, ...rest] = positionals;
  if (model === undefined || path === undefined || rest.length > 0) {
    throw usageError(`Expected MODEL and OUT.gguf, found ${positionals.length} arguments.`);
  }
  return {
    model,
    path,
    type: exportType("--type", values.type),
    embeddings: values.embeddings === undefined ? undefined : exportType("--embeddings", values.embeddings),
    tokenizer: values.tokenizer,
  };
}

function parse(args: string[]) {
  return parseFlags({
    args,
    allowPositionals: true,
    options: {
      type: { type: "string", default: "bf16" },
      embeddings: { type: "string" },
      tokenizer: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
}

function exportType(flag: string, name: string): ExportType {
  const type = EXPORT_TYPES.find((candidate) => candidate === name);
  if (type === undefined) {
    throw usageError(`${flag} must be one of ${EXPORT_TYPES.join(", ")}; found "${name}".`);
  }
  return type;
}

async function run(args: string[], progress: Progress): Promise<string> {
  const read = readArguments(args);
  if (read === "help") {
    return USAGE;
  }
  const { model, path, type, embeddings, tokenizer } = read;
  if (await isFile(path)) {
    throw new ModelComposeError("invalid-argument", `"${path}" is there already.`, {
      remedy: "Name a new file, or remove this one.",
    });
  }
  const { fileBytes, hasTokenizer } = await exportModel(model, path, {
    type,
    embeddings,
    tokenizer,
    onProgress: (written, total) =>
      progress.step(`${Math.floor((100 * written) / total)} % of ${(total / 1e9).toFixed(2)} GB written`),
  });
  if (!hasTokenizer) {
    progress.notice(
      `"${model}" has no tokenizer, so "${path}" has a stand-in, one token a byte (--tokenizer names a folder with another).`,
    );
  }
  return `${path}: ${type}, ${(fileBytes / 1e6).toFixed(1)} MB\n`;
}

await runCommand(run);
