/** Makes work that is known to fit of a prompt and options: everything that can be refused is refused here. */
import type { Executable } from "../backend.ts";
import { ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import type { TextParts } from "./generated-text.ts";
import type { Form, GrammarThread } from "../grammar/grammar-thread.ts";
import type { GenerateOptions } from "./types.ts";
import type { HistorySettings } from "../sampling/history-processors.ts";
import type { AnswerForm, ResolvedConstraint } from "./constraint-options.ts";
import { resolveGenerateOptions, type ResolvedGeneration } from "./options.ts";

/** A model as generation needs it. */
export interface GeneratorParts extends TextParts {
  executable: Executable;
  vocabSize: number;
  /** The token that the decoder of an encoder–decoder begins with; absent: the model has no encoder. */
  decoderStartTokenId?: number;
  /** Number of KV slots, and so of beams that a request may have. */
  slots: number;
  eosTokenIds: readonly number[];
  /** The contents of the model's generation_config.json; those of config.json where there is none. */
  generationConfig: Readonly<Record<string, unknown>>;
  /** Holds texts to their forms; absent: there is no tokenizer. */
  grammars?: GrammarThread;
}

/** How many times the context a prompt's tokens are counted. */
const FAR_TOO_LONG = 4;

/** A text that has all that the model expects around it. */
export class RenderedPrompt {
  readonly text: string;
  /** What is known of the answer. */
  readonly answer: AnswerForm;

  constructor(text: string, answer: AnswerForm = {}) {
    this.text = text;
    this.answer = answer;
  }
}

/** What a generation continues: a text, which is encoded with what the model expects around it, or token ids. */
export type Prompt = string | RenderedPrompt | readonly number[];

/** A request whose prompt is known to fit. */
export interface Job {
  /** The prompt's text, where the result is to begin with it. */
  promptText: string | undefined;
  /** Token ids of the prompt. */
  ids: Int32Array;
  /** Token ids that sequences begin with: the prompt, or a decoder's start token. */
  begin: Int32Array;
  settings: ResolvedGeneration;
  /** The most tokens to choose; `limitReason` is why there are no more. */
  limit: number;
  limitReason: "length" | "context";
  /** How earlier tokens rule the choice. */
  processing: HistorySettings;
  /** What the text must be; undefined: any. */
  form: Form | undefined;
  warnings: string[];
}

/**
 * Makes a job of a request. Everything that can be refused is refused here, before any work: a text is encoded only as far
 * as it takes to know that it does not fit.
 *
 * @throws ModelComposeError "invalid-argument" or "invalid-config" as `resolveGenerateOptions`, "invalid-input" for a
 *   prompt that is no list of the vocabulary's ids or does not fit the context; AbortError
 */
export async function prepareJob(
  parts: GeneratorParts,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<Job> {
  const { executable, codec, generationConfig, decoderStartTokenId } = parts;
  const { contextLength } = executable;
  throwIfAborted(options.signal);
  const answer = prompt instanceof RenderedPrompt ? prompt.answer : undefined;
  const settings = resolveGenerateOptions(options, generationConfig, answer);
  if (settings.stop.length > 0 && codec === undefined) {
    throw noTokenizer("Stop strings need", "stop");
  }
  requireSlots(parts, settings.beams.count, options.numBeams);
  const form = settings.constraint && (await formOf(parts, settings.constraint, options.signal));
  const warnings = [...settings.warnings];
  const { maxPromptTokens } = settings;
  // How many tokens a prompt has that is cut to its end is known when all of it is encoded. Otherwise a text that is far too
  // long is not encoded to its end; of one that is a little too long, the error tells by how much.
  const most = maxPromptTokens === undefined ? FAR_TOO_LONG * contextLength : Infinity;
  const isText = typeof prompt === "string" || prompt instanceof RenderedPrompt;
  const given = isText ? await encodePrompt(parts, prompt, { most, signal: options.signal }) : prompt;
  if (isText && given.length > most) {
    throw promptTooLong(parts, `more than ${most}`);
  }
  let ids = checkIds(parts, given);
  if (maxPromptTokens !== undefined && ids.length > maxPromptTokens) {
    warnings.push(`The prompt of ${ids.length} tokens was cut to its last ${maxPromptTokens}.`);
    ids = ids.slice(-maxPromptTokens);
  }
  if (ids.length > contextLength) {
    throw promptTooLong(parts, ids.length);
  }
  const begin = decoderStartTokenId === undefined ? ids : Int32Array.of(decoderStartTokenId);
  const room = contextLength - begin.length + 1;
  const wanted = wantedTokens(settings, begin.length, room, options.maxLength !== undefined);
  const isAsked = (settings.maxNewTokens ?? options.maxLength) !== undefined;
  // Who asks for all that the context holds gets it.
  if (wanted > room && wanted !== Infinity && isAsked) {
    const after = decoderStartTokenId === undefined ? ` after a prompt of ${ids.length}` : "";
    warnings.push(
      `The limit of ${wanted} new tokens was lowered to ${room}: the context of ${contextLength} tokens holds no more` +
        `${after}.`,
    );
  }
  const limit = Math.min(wanted, room);
  return {
    promptText: settings.returnFullText ? textOfPrompt(parts, prompt, ids) : undefined,
    ids,
    begin,
    settings,
    limit,
    limitReason: wanted < room || settings.maxNewTokens === room ? "length" : "context",
    processing: processing(parts, settings, ids, begin.length, limit),
    form,
    warnings,
  };
}

/** @throws ModelComposeError "unsupported" for what cannot be enforced, "invalid-argument" for what is wrong */
async function formOf(
  { grammars }: GeneratorParts,
  { constraint, parameter }: ResolvedConstraint,
  signal: AbortSignal | undefined,
): Promise<Form> {
  if (grammars === undefined) {
    throw noTokenizer("A text that must have a form needs", parameter);
  }
  return grammars.form(constraint, signal);
}

function requireSlots(parts: GeneratorParts, beams: number, asked: number | undefined): void {
  const { slots } = parts;
  if (beams <= slots) {
    return;
  }
  const by = asked === undefined ? "generation_config.json asks for" : "numBeams asks for";
  throw new ModelComposeError(
    "invalid-argument",
    `${by} ${beams} beams; the model was loaded for at most ${slots}.`,
    { remedy: `Load it with maxBeams ${beams}, or set numBeams to ${slots} or less.`, parameter: "numBeams" },
  );
}

function processing(
  parts: GeneratorParts,
  { sampling, rules, ignoreEos, minNewTokens, minLength }: ResolvedGeneration,
  ids: Int32Array,
  promptLength: number,
  limit: number,
): HistorySettings {
  const { eosTokenIds, vocabSize } = parts;
  const forced = {
    forcedBosTokenId: [rules?.forcedBosTokenId ?? []].flat(),
    forcedEosTokenId: rules?.forcedEosTokenIds ?? [],
  };
  for (const [parameter, tokens] of Object.entries(forced)) {
    const unknown = tokens.find((token) => token >= vocabSize);
    if (unknown !== undefined) {
      throw new ModelComposeError(
        "invalid-argument",
        `The forced token ${unknown} is not in the vocabulary; expected an id from 0 to ${vocabSize - 1}.`,
        { remedy: `Correct ${parameter} (in generation_config.json, if it is set there).`, parameter },
      );
    }
  }
  return {
    repetitionPenalty: sampling.repetitionPenalty,
    eosTokenIds: ignoreEos ? [] : eosTokenIds,
    minNewTokens: Math.max(minNewTokens, minLength - promptLength),
    promptLength,
    rules: rules && { ...rules, sourceIds: [...ids], maxLength: promptLength + limit },
  };
}

/** The ids of a prompt that is a text. @throws ModelComposeError "invalid-input" for an empty one; AbortError */
export async function encodePrompt(
  { codec }: GeneratorParts,
  prompt: string | RenderedPrompt,
  options: { most: number; signal: AbortSignal | undefined },
): Promise<readonly number[]> {
  if (codec === undefined) {
    throw noTokenizer("A prompt of text needs");
  }
  const isRendered = prompt instanceof RenderedPrompt;
  const text = isRendered ? prompt.text : prompt;
  if (text === "") {
    throw emptyPrompt();
  }
  return codec.encodeAsync(text, { ...options, addSpecialTokens: !isRendered });
}

function textOfPrompt({ codec }: GeneratorParts, prompt: Prompt, ids: Int32Array): string | undefined {
  if (typeof prompt === "string") {
    return prompt;
  }
  return prompt instanceof RenderedPrompt ? prompt.text : codec?.decode([...ids]);
}

/** @param tokens how many the prompt has */
export function promptTooLong(parts: GeneratorParts, tokens: number | string): ModelComposeError {
  const { contextLength } = parts.executable;
  const holder = parts.decoderStartTokenId === undefined ? "context holds" : "encoder reads at most";
  return new ModelComposeError(
    "invalid-input",
    `The prompt has ${tokens} tokens; the ${holder} ${contextLength}.`,
    {
      remedy:
        "Shorten the prompt, keep only its end (maxPromptTokens), or load the model with a larger context (contextLength).",
      parameter: "maxPromptTokens",
    },
  );
}

/**
 * The ids as an array, checked.
 *
 * @throws ModelComposeError "invalid-input" for what is no list of token ids, is empty, or names an id outside the
 *   vocabulary
 */
export function checkIds(parts: GeneratorParts, ids: readonly number[]): Int32Array {
  const { vocabSize } = parts;
  if (!Array.isArray(ids) && !ArrayBuffer.isView(ids)) {
    throw new ModelComposeError(
      "invalid-input",
      `The prompt is ${typeof ids}; expected a string or a list of token ids.`,
    );
  }
  if (ids.length === 0) {
    throw emptyPrompt();
  }
  // This is not forEach, which passes over the holes of a sparse array.
  for (const [i, id] of ids.entries()) {
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) {
      continue;
    }
    throw new ModelComposeError(
      "invalid-input",
      `Token id ${String(id)} at index ${i} is not in the vocabulary; expected an integer from 0 to ${vocabSize - 1}.`,
    );
  }
  return Int32Array.from(ids);
}

/** The bound on new tokens that the settings come to; `room` where they have none. */
function wantedTokens(
  { maxNewTokens, maxLength }: ResolvedGeneration,
  promptLength: number,
  room: number,
  isAsked: boolean,
): number {
  if (maxNewTokens !== undefined) {
    return maxNewTokens;
  }
  if (maxLength === undefined) {
    return room;
  }
  if (isAsked && maxLength <= promptLength) {
    throw new ModelComposeError(
      "invalid-argument",
      `maxLength is ${maxLength}, of which the prompt takes ${promptLength}: nothing is left for new tokens.`,
      { remedy: "Raise it, or bound new tokens alone with maxNewTokens.", parameter: "maxLength" },
    );
  }
  return Math.max(1, maxLength - promptLength);
}

function noTokenizer(what: string, parameter?: string): ModelComposeError {
  return new ModelComposeError("invalid-input", `${what} a tokenizer; the model's folder has none.`, {
    remedy: "Give token ids, or add the model's tokenizer.json to its folder.",
    parameter,
  });
}

function emptyPrompt(): ModelComposeError {
  return new ModelComposeError("invalid-input", "The prompt is empty; expected at least one token.", {
    remedy: "Give the model some text to continue.",
  });
}
