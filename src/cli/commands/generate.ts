import { text as readAll } from "node:stream/consumers";
import { styleText } from "node:util";
import { visibleText } from "../../base/visible-text.ts";
import { z } from "zod";
import { ModelComposeError } from "../../base/errors.ts";
import { errorInWordsOf, inWordsOf } from "../../base/front-words.ts";
import { readJsonObject } from "../../runtime/platform/files.ts";
import type { DeviceInfo } from "../../runtime/device-types.ts";
import type { GenerateOptions, GenerateResult, StreamPart } from "../../runtime/generation/types.ts";
import type { ChatPart, ChatResult } from "../../models/chat/chat.ts";
import type { LoadOptions } from "../../models/load-options.ts";
import { generationParameters as ranges } from "../../compose/definition/parameters.ts";
import { flagOf, generateWords } from "../parameter-flags.ts";
import { checkFlag } from "../flags.ts";
import { drawingOptions, modelOptions, type ModelFlags, type SamplingFlags } from "../model-flags.ts";
import { findServing, type GeneratingModel } from "../serving-model.ts";
import { statisticsLine } from "../report.ts";
import { snakeCase } from "../snake-case.ts";
import type { Terminal } from "../terminal.ts";
import type { CommandContext } from "./run.ts";

export interface GenerateFlags extends ModelFlags, SamplingFlags {
  readonly model: string;
  readonly minTokens?: number;
  readonly maxPromptTokens?: number;
  readonly numBeams?: number;
  readonly ignoreEos?: boolean;
  /** Path of a file with a JSON schema that the text must match. */
  readonly jsonSchema?: string;
  readonly jsonObject?: boolean;
  readonly regex?: string;
  readonly choice?: readonly string[];
  readonly logprobs?: number;
  readonly json?: boolean;
  /** Whether the prompt goes through the model's chat template, as a message. */
  readonly chat?: boolean;
  /** The message of the system before it. */
  readonly system?: string;
  /** Whether to load the model in this process also when a server has it. */
  readonly local?: boolean;
}

/**
 * `model-compose generate`: continues a prompt with a model, without a compose file. New text goes to stdout as it is
 * produced; what is not set comes from the model's generation_config. A server that has the model generates, where there is one.
 */
export async function generate(prompt: string, flags: GenerateFlags, context: CommandContext): Promise<void> {
  try {
    await loadAndGenerate(prompt, flags, context);
  } catch (error) {
    throw errorInWordsOf(error, generateWords);
  }
}

async function loadAndGenerate(prompt: string, flags: GenerateFlags, context: CommandContext): Promise<void> {
  const { terminal, signal } = context;
  const options = { ...generateOptions(flags), ...(await formOptions(flags)) };
  warnOfIneffective(flags, terminal);
  if (flags.system !== undefined && flags.chat !== true) {
    throw new ModelComposeError("usage", "--system is a message of a conversation.", {
      remedy: "Add --chat.",
    });
  }
  const load = loadOptions(flags);
  const text = prompt === "-" ? await promptFromStdin(context) : prompt;
  if (text === "") {
    throw new ModelComposeError("invalid-input", "The prompt is empty.", {
      remedy: "A prompt is a text of at least one character.",
    });
  }
  const onNotice = (line: string): void => terminal.note(inWordsOf(line, generateWords));
  // Beams have room only where a model was loaded for them.
  const serving =
    flags.local === true || flags.numBeams !== undefined
      ? undefined
      : await findServing(flags.model, load, { onNotice, signal });
  const model =
    serving ??
    (await context.loadModel(flags.model, {
      ...load,
      chat: flags.chat,
      signal,
      onProgress: (progress) => terminal.loading(progress),
      onNotice,
    }));
  try {
    const result = await produce(model, text, { ...options, signal }, flags, context);
    if (flags.json) {
      await terminal.write(`${JSON.stringify(report(result, model.device))}\n`);
    } else if (!("content" in result ? result.content : result.newText).endsWith("\n")) {
      await terminal.write("\n");
    }
    for (const warning of result.warnings) {
      terminal.warn(inWordsOf(warning, generateWords));
    }
    if (flags.seed === undefined && result.seed !== undefined) {
      terminal.note(`seed ${result.seed}`);
    }
    terminal.note(statisticsLine([result], model.device.description));
  } finally {
    terminal.close();
    await model.dispose();
  }
}

async function produce(
  model: GeneratingModel,
  prompt: string,
  options: GenerateOptions,
  flags: GenerateFlags,
  { terminal }: CommandContext,
): Promise<GenerateResult | ChatResult> {
  let result: GenerateResult | ChatResult | undefined;
  let seed: number | undefined;
  const onPrefill = (progress: { done: number; total: number }): void => terminal.prefilling(progress);
  try {
    for await (const part of partsOf(model, prompt, { ...options, onPrefill }, flags)) {
      seed ??= "seed" in part ? part.seed : part.result?.seed;
      // Reasoning, and calls of tools, are no part of the answer: a person sees them, a pipe does not.
      const isAnswer = !("type" in part) || part.type === "content";
      if (!flags.json && isAnswer) {
        await terminal.write(part.text);
      }
      if (terminal.watched && (flags.json || !terminal.stdoutIsTerminal || !isAnswer)) {
        const shown = visibleText(part.text);
        terminal.live(isAnswer ? shown : styleText("dim", shown, { stream: process.stderr }));
      }
      result = part.result ?? result;
    }
  } catch (error) {
    // Who interrupts a text has perhaps read one that is worth having whole.
    if (seed !== undefined && flags.seed === undefined) {
      terminal.endLine();
      terminal.note(`seed ${seed}`);
    }
    throw error;
  }
  if (result === undefined) {
    throw new Error("a stream of text ended without its result");
  }
  terminal.endLine();
  return result;
}

/** The text as it comes: of the prompt's continuation, or of the answer to it as a message. */
function partsOf(
  model: GeneratingModel,
  prompt: string,
  options: GenerateOptions,
  { chat, system }: GenerateFlags,
): AsyncIterable<StreamPart | ChatPart> {
  if (chat !== true) {
    return model.stream(prompt, options);
  }
  const before = system === undefined ? [] : [{ role: "system", content: system }];
  return model.streamChat([...before, { role: "user", content: prompt }], options);
}

/** All of a result, in the words of the API. */
function report(result: GenerateResult | ChatResult, device: DeviceInfo): unknown {
  const { promptTokens, completionTokens } = result.usage;
  const usage = { ...result.usage, totalTokens: promptTokens + completionTokens };
  return snakeCase({ ...result, usage, device });
}

/** The flags that say how tokens are drawn, in the names of the library. */
const DRAWING = ["temperature", "topK", "topP", "minP", "seed"] as const;

function warnOfIneffective(flags: GenerateFlags, terminal: Terminal): void {
  const given = DRAWING.filter((name) => flags[name] !== undefined).map(flagOf);
  if (flags.greedy && given.length > 0 && flags.temperature !== 0) {
    const effect = given.length === 1 ? "has no effect" : "have no effect";
    terminal.warn(`${given.join(", ")} ${effect} beside --greedy: the most likely token is taken each time.`);
  }
}

function generateOptions(flags: GenerateFlags): GenerateOptions {
  // Beside --greedy they have no effect, which has been said.
  const ofDrawing = flags.greedy ? {} : drawingOptions(flags);
  const atLeastZero = ranges.no_repeat_ngram_size;
  return {
    maxNewTokens: checkFlag("max-tokens", ranges.max_output_length, flags.maxTokens),
    minNewTokens: checkFlag("min-tokens", atLeastZero, flags.minTokens),
    maxPromptTokens: checkFlag("max-prompt-tokens", ranges.max_input_length, flags.maxPromptTokens),
    ...ofDrawing,
    repetitionPenalty: checkFlag("repetition-penalty", ranges.repetition_penalty, flags.repetitionPenalty),
    noRepeatNgramSize: checkFlag(
      "no-repeat-ngram-size",
      ranges.no_repeat_ngram_size,
      flags.noRepeatNgramSize,
    ),
    numBeams: checkFlag("num-beams", ranges.num_beams, flags.numBeams),
    stop: checkFlag("stop", stopSchema, flags.stop),
    doSample: flags.greedy ? false : flags.doSample,
    ignoreEos: flags.ignoreEos,
  };
}

/** What the text must be. @throws ModelComposeError "not-found" for a file that is not there, "usage" for what is no schema */
async function formOptions(flags: GenerateFlags): Promise<GenerateOptions> {
  return {
    jsonSchema:
      flags.jsonSchema === undefined
        ? undefined
        : await readJsonObject(flags.jsonSchema, "config", {
            code: "usage",
            remedy: "Correct the JSON schema.",
          }),
    jsonObject: flags.jsonObject,
    regex: checkFlag("regex", ranges.regex, flags.regex),
    choice: checkFlag("choice", ranges.choice, flags.choice),
    logprobs: checkFlag("logprobs", ranges.logprobs, flags.logprobs),
  };
}

const stopSchema = z.array(z.string().min(1)).describe("a text of at least one character");

function loadOptions(flags: GenerateFlags): LoadOptions {
  return {
    ...modelOptions(flags),
    maxConcurrency: 1, // beams have room of their own
    maxBeams: checkFlag("num-beams", ranges.num_beams, flags.numBeams),
  };
}

/** Reads all of stdin. As `$(…)` does in shells, the line break that ends it is not part of the text. */
async function promptFromStdin({ terminal }: CommandContext): Promise<string> {
  if (process.stdin.isTTY) {
    terminal.note("Reading the prompt from the terminal; end it with Ctrl-D (Windows: Ctrl-Z).");
  }
  return (await readAll(process.stdin)).replace(/\r?\n$/, "");
}
