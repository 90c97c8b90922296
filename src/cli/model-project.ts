/** A project without a compose file: a model by its name, served as a file with this model alone would be. */
import path from "node:path";
import { errorInWordsOf } from "../base/front-words.ts";
import { ModelComposeError } from "../base/errors.ts";
import { findComposeFiles, readCompose } from "../compose/load.ts";
import { readEnvironment } from "../compose/source/environment-files.ts";
import type { HubOptions } from "../models/hub/options.ts";
import { locateModel } from "../models/hub/resolve.ts";
import { hasChatTemplate } from "../models/model-purpose.ts";
import { resolveRuntimeOptions } from "../runtime/load-options.ts";
import { loadProject, type CommandContext, type ComposeFlags, type Project } from "./commands/run.ts";
import { MODEL_FLAGS, modelOptions, type ModelFlags } from "./model-flags.ts";
import { generateWords } from "./parameter-flags.ts";

/** The flags of a command on a project: its compose files, or a model in place of them. */
export interface ProjectFlags extends ComposeFlags {
  readonly model?: string;
}

/**
 * Loads what a command serves: the compose files that the flags name, or the model.
 *
 * @param hub where and whether the small files of a model are fetched, which tell what it can do
 * @throws ModelComposeError "usage" for flags that contradict each other; what loading a file or looking up a model throws
 */
export async function openProject(
  flags: ProjectFlags & ModelFlags,
  { terminal, signal }: CommandContext,
  hub: HubOptions = {},
): Promise<Project> {
  const { model } = flags;
  if (model === undefined) {
    refuseModelFlags(flags);
    return loadProject(flags, terminal);
  }
  refuseFile(flags);
  checkHeld(flags);
  const environment = readEnvironment({
    directory: process.cwd(),
    entries: flags.env ?? [],
    files: flags.envFile ?? [],
    process: process.env,
    onWarning: (message) => terminal.warn(message),
  });
  const chats = await hasChatTemplate(model, {
    ...hub,
    signal,
    onProgress: (progress) => terminal.loading(progress),
    onNotice: (line) => terminal.note(line),
  });
  const file = {
    name: `--model ${model}`,
    path: await modelFile(model),
    text: await composeText(flags, model, chats),
  };
  return { definition: readCompose([file], { environment }), environment };
}

/**
 * By what a project is known to the registry: its compose files, or what stands for one where a model has none. A folder is the
 * same by whatever path it is named; a repository is known by its id.
 *
 * @throws ModelComposeError "not-found" where there is no file; what `locateModel` throws
 */
export async function projectFilesOf(flags: ProjectFlags): Promise<string[]> {
  if (flags.model === undefined) {
    return findComposeFiles(process.cwd(), flags.file ?? []);
  }
  refuseFile(flags);
  return [await modelFile(flags.model)];
}

async function modelFile(model: string): Promise<string> {
  const location = await locateModel(model);
  return `model:${location.kind === "hub" ? model : location.directory}`;
}

/** The compose file of a model, as JSON, which YAML reads. */
async function composeText(flags: ModelFlags, model: string, chats: boolean): Promise<string> {
  const location = await locateModel(model);
  const { precision, quantization, activations, kvPrecision, contextLength } = modelOptions(flags);
  const held = {
    type: "model",
    model: escaped(location.kind === "local" ? location.directory : model),
    // The library's "stored" is the file's "auto".
    precision: precision === "stored" ? "auto" : precision,
    quantization,
    activations,
    kv_precision: kvPrecision,
    context_length: contextLength,
    params: {
      max_output_length: "${input.max_output_length as integer | 1024}",
      temperature: "${input.temperature as number | 0.7}",
      seed: "${input.seed as integer}",
    },
  };
  const user = { role: "user", content: "${input.prompt as text}" };
  const text = { ...held, task: "text-generation", prompt: "${input.prompt as text}" };
  const chat = {
    ...held,
    task: "chat-completion",
    messages: ["...${input.history as list}", user],
    output: "${response.content}",
  };
  const title = "Continue a text";
  const generated = { generated: "${output}" };
  return JSON.stringify({
    controller: { name: escaped(location.kind === "hub" ? model : path.basename(location.directory)) },
    // Clients of OpenAI's API ask the component by the model's name, in both ways.
    component: chats ? chat : text,
    workflows: chats
      ? [
          { id: "chat", title: "Ask", default: true },
          { id: "text", title, job: { component: text, output: generated } },
        ]
      : [{ title }],
  });
}

/** A text without placeholders, as a template. */
function escaped(text: string): string {
  return text.replaceAll("${", () => "$${");
}

/** @throws ModelComposeError naming the flag, for what a model cannot be held as */
function checkHeld(flags: ModelFlags): void {
  try {
    resolveRuntimeOptions(modelOptions(flags));
  } catch (error) {
    throw errorInWordsOf(error, generateWords);
  }
}

function refuseFile({ file }: ProjectFlags): void {
  if (file !== undefined) {
    throw new ModelComposeError("usage", "A compose file (-f) and a model (--model) are two projects.", {
      remedy: "Leave one of them out.",
    });
  }
}

/** What says how a model is held, a file says itself. */
function refuseModelFlags(flags: ModelFlags): void {
  const isGiven = (name: keyof typeof MODEL_FLAGS): boolean =>
    // Where the flag is not given, its opposite is the value.
    name === "quantizedCache" ? flags[name] === false : flags[name] !== undefined;
  const given = (Object.keys(MODEL_FLAGS) as (keyof typeof MODEL_FLAGS)[]).find(isGiven);
  if (given === undefined) {
    return;
  }
  const { flag, key } = MODEL_FLAGS[given];
  throw new ModelComposeError("usage", `${flag} is for a model without a compose file.`, {
    remedy:
      key === undefined
        ? "Add --model, or leave it out."
        : `Add --model, or write ${key}: into the file's component.`,
  });
}
