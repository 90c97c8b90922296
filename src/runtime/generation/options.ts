/**
 * Makes one complete, valid set of parameters of what a caller and a model's generation_config.json ask for.
 * Precedence: caller, generation_config.json, transformers' defaults.
 */
import { inspect } from "node:util";
import { ModelComposeError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { MAX_BEAMS } from "../load-options.ts";
import {
  callerSource,
  configSource,
  count,
  faultOf,
  readBoolean,
  readNumber,
  without,
  type NumberRule,
  type OptionSource,
} from "../sampling/option-source.ts";
import {
  asksForDrawing,
  DRAWING_OPTIONS,
  resolveSampling,
  wrongDrawingSettings,
  type ResolvedSampling,
} from "../sampling/options.ts";
import {
  checkConstraint,
  resolveConstraint,
  resolveLogprobs,
  type AnswerForm,
  type ResolvedConstraint,
} from "./constraint-options.ts";
import { resolveTokenRules, type TokenRules } from "../sampling/token-rules.ts";
import type { GenerateOptions } from "./types.ts";

/** A beam search, complete and valid. */
export interface ResolvedBeams {
  /** Sequences that are searched with at once; 1: no beam search. */
  readonly count: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  /** Sequences that are returned, 1 .. count. */
  readonly returnSequences: number;
}

/** Everything of GenerateOptions that is data, complete and valid. */
export interface ResolvedGeneration {
  readonly sampling: ResolvedSampling;
  /** Bound on new tokens; undefined: no bound but `maxLength` and the context. */
  readonly maxNewTokens: number | undefined;
  /** Bound on all tokens of a sequence; undefined wherever a bound on new tokens goes before it. */
  readonly maxLength: number | undefined;
  /** Least number of new tokens; 0 wherever `minLength` is what was asked for. */
  readonly minNewTokens: number;
  readonly minLength: number;
  readonly beams: ResolvedBeams;
  /** The token rules; undefined: none is on. */
  readonly rules: TokenRules | undefined;
  /** What the text must be; undefined: any. */
  readonly constraint: ResolvedConstraint | undefined;
  /** How many alternatives are told of each token; undefined: nothing is. */
  readonly logprobs: number | undefined;
  readonly maxPromptTokens: number | undefined;
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
  readonly returnFullText: boolean;
  readonly cachePrompt: boolean;
  readonly promptLookup: boolean;
  readonly sequence: readonly [number, number, number];
  /** Warnings of settings that have no effect, for GenerateResult.warnings. */
  readonly warnings: readonly string[];
}

/** The length of a sequence to the power of this is a number of f32, the type of scores: 2^17 tokens to the 7th. */
export const MOST_LENGTH_PENALTY = 7;

/** The numeric parameters beside those of sampling and of token rules, with the values they may have. */
const NUMBER_RULES = {
  maxNewTokens: count(1),
  minNewTokens: count(0),
  maxLength: count(1),
  minLength: count(0),
  numBeams: count(1, MAX_BEAMS),
  lengthPenalty: {
    range: `a number in ${-MOST_LENGTH_PENALTY} .. ${MOST_LENGTH_PENALTY}`,
    allows: (value) => Math.abs(value) <= MOST_LENGTH_PENALTY,
  },
  numReturnSequences: count(1, MAX_BEAMS),
  maxPromptTokens: count(1),
} as const satisfies Partial<Record<keyof GenerateOptions, NumberRule>>;

type NumberName = keyof typeof NUMBER_RULES;

/** What a caller may say and no file can. */
const CALLER_RULES: Readonly<Record<NumberName, NumberRule>> = {
  ...NUMBER_RULES,
  maxNewTokens: {
    range: "an integer >= 1, or Infinity",
    allows: (value) => value === Infinity || count(1).allows(value),
  },
};

const read = (
  source: OptionSource,
  name: NumberName,
  rules: Readonly<Record<NumberName, NumberRule>> = NUMBER_RULES,
): number | undefined => readNumber(source, name, rules[name]);

const OPTION_NAMES: Readonly<Record<keyof GenerateOptions, true>> = {
  doSample: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  frequencyPenalty: true,
  presencePenalty: true,
  sequenceBias: true,
  noRepeatNgramSize: true,
  encoderNoRepeatNgramSize: true,
  seed: true,
  maxNewTokens: true,
  minNewTokens: true,
  maxLength: true,
  minLength: true,
  numBeams: true,
  lengthPenalty: true,
  earlyStopping: true,
  numReturnSequences: true,
  forcedBosTokenId: true,
  forcedEosTokenId: true,
  maxPromptTokens: true,
  stop: true,
  ignoreEos: true,
  jsonSchema: true,
  jsonObject: true,
  regex: true,
  choice: true,
  logprobs: true,
  returnFullText: true,
  cachePrompt: true,
  promptLookup: true,
  sequence: true,
  signal: true,
  onPrefill: true,
};

/**
 * Settings of generation_config.json that change what transformers generates and are not supported, each with the value
 * that turns it off.
 */
const UNSUPPORTED_CONFIG_KEYS: Readonly<Record<string, unknown>> = {
  num_beam_groups: 1,
  diversity_penalty: 0,
  constraints: undefined,
  force_words_ids: undefined,
  forced_decoder_ids: undefined,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  top_h: undefined,
  penalty_alpha: undefined,
  dola_layers: undefined,
  exponential_decay_length_penalty: undefined,
  guidance_scale: 1,
  renormalize_logits: false,
  remove_invalid_values: false,
  watermarking_config: undefined,
  token_healing: false,
  max_time: undefined,
};

/**
 * Resolves and checks the options of a generation.
 *
 * @param options what the caller asks for; `undefined` is unset
 * @param generationConfig the parsed generation_config.json; `null` is unset, as in transformers
 * @param answer what a conversation asks of the text
 * @throws ModelComposeError "invalid-argument" (caller) or "invalid-config" (file) naming parameter, range and value
 */
export function resolveGenerateOptions(
  options: GenerateOptions = {},
  generationConfig: Readonly<Record<string, unknown>> = {},
  answer: AnswerForm = {},
): ResolvedGeneration {
  rejectUnknownNames(options);
  const caller = callerSource(options);
  const file = configSource(generationConfig);
  rejectWrongCallbacks(caller);
  const { config, warnings } = usedSettings(caller, file);
  const sampling = resolveSampling(caller, config);
  const beams = resolveBeams(caller, config);
  const ignoreEos = readBoolean(caller, "ignoreEos") ?? false;
  const constraint = resolveConstraint(caller, answer);
  const logprobs = resolveLogprobs(caller);
  checkConstraint(constraint, logprobs, beams.resolved.count, ignoreEos);
  return {
    sampling,
    constraint,
    logprobs,
    ...resolveLengths(caller, config),
    beams: beams.resolved,
    rules: resolveTokenRules(caller, config, ignoreEos),
    maxPromptTokens: read(caller, "maxPromptTokens"),
    stop: readStop(caller, "stop") ?? readStop(config, "stopStrings") ?? [],
    ignoreEos,
    returnFullText: readBoolean(caller, "returnFullText") ?? true,
    cachePrompt: readBoolean(caller, "cachePrompt") ?? true,
    promptLookup: readBoolean(caller, "promptLookup") ?? true,
    sequence: readSequence(caller),
    warnings: [
      ...ineffectiveOptions(options, sampling, beams.resolved),
      ...beams.warnings,
      ...warnings,
      ...unsupportedSettings(generationConfig),
    ],
  };
}

/** The options that only a beam search uses. */
const BEAM_OPTIONS = ["lengthPenalty", "earlyStopping"] as const;

/**
 * The settings of the file that a request uses. What is wrong with others is no reason to refuse the request: it becomes a
 * warning.
 */
function usedSettings(
  caller: OptionSource,
  file: OptionSource,
): { config: OptionSource; warnings: readonly string[] } {
  const isDrawn = asksForDrawing(caller, file);
  const hasBeams = (read(caller, "numBeams") ?? read(file, "numBeams") ?? 1) > 1;
  const wrong = [
    ...(isDrawn ? [] : wrongDrawingSettings(file)),
    ...(hasBeams
      ? []
      : [...faultOf(() => read(file, "lengthPenalty")), ...faultOf(() => readEarlyStopping(file))]),
  ];
  return {
    config: without(file, [...(isDrawn ? [] : DRAWING_OPTIONS), ...(hasBeams ? [] : BEAM_OPTIONS)]),
    warnings: wrong.map((fault) => `${fault} Nothing uses it here.`),
  };
}

/**
 * Takes, from each pair of bounds on new tokens and on all tokens, the first that is set: the caller's on new tokens,
 * the caller's on all, the file's on new tokens, the file's on all.
 */
function resolveLengths(
  caller: OptionSource,
  config: OptionSource,
): Pick<ResolvedGeneration, "maxNewTokens" | "maxLength" | "minNewTokens" | "minLength"> {
  const first = (names: readonly [NumberName, NumberName]): { new?: number; all?: number } => {
    for (const source of [caller, config]) {
      const rules = source === caller ? CALLER_RULES : NUMBER_RULES;
      const [ofNew, ofAll] = names.map((name) => read(source, name, rules));
      if (ofNew !== undefined) {
        return { new: ofNew };
      }
      if (ofAll !== undefined) {
        return { all: ofAll };
      }
    }
    return {};
  };
  for (const [least, most] of [
    ["minNewTokens", "maxNewTokens"],
    ["minLength", "maxLength"],
  ] as const) {
    const [from, to] = [least, most].map((name) => read(caller, name, CALLER_RULES));
    if (from !== undefined && to !== undefined && from > to) {
      throw caller.invalid(least, `at most ${most}, ${to}`, from);
    }
  }
  const most = first(["maxNewTokens", "maxLength"]);
  const least = first(["minNewTokens", "minLength"]);
  return {
    maxNewTokens: most.new,
    maxLength: most.all,
    minNewTokens: least.new ?? 0,
    minLength: least.all ?? 0,
  };
}

function resolveBeams(
  caller: OptionSource,
  config: OptionSource,
): { resolved: ResolvedBeams; warnings: string[] } {
  const beams = read(caller, "numBeams") ?? read(config, "numBeams") ?? 1;
  const asked = read(caller, "numReturnSequences");
  if (asked !== undefined && asked > beams) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "numReturnSequences" must be at most numBeams, ${beams}; found ${asked}.`,
      {
        remedy:
          "Raise numBeams, or generate several times: sampling draws other text for another seed or sequence.",
        parameter: "numReturnSequences",
      },
    );
  }
  const recommended = read(config, "numReturnSequences") ?? 1;
  const warnings =
    asked === undefined && recommended > beams
      ? [
          `generation_config.json sets num_return_sequences to ${recommended}; with ${beams === 1 ? "one beam" : `${beams} beams`} there are only ${beams}.`,
        ]
      : [];
  return {
    resolved: {
      count: beams,
      lengthPenalty: read(caller, "lengthPenalty") ?? read(config, "lengthPenalty") ?? 1,
      earlyStopping: readEarlyStopping(caller) ?? readEarlyStopping(config) ?? false,
      returnSequences: asked ?? Math.min(recommended, beams),
    },
    warnings,
  };
}

function readEarlyStopping(source: OptionSource): boolean | "never" | undefined {
  const value = source.read("earlyStopping");
  if (value === undefined || typeof value === "boolean" || value === "never") {
    return value;
  }
  throw source.invalid("earlyStopping", 'true, false or "never"', value);
}

function rejectUnknownNames(options: GenerateOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new ModelComposeError(
      "invalid-argument",
      `The generation options must be an object; found ${inspect(options)}.`,
      { remedy: "Correct it or leave it out." },
    );
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(OPTION_NAMES, name)) {
      continue;
    }
    const known = Object.keys(OPTION_NAMES);
    const nearest = nearestName(name, known);
    throw new ModelComposeError("invalid-argument", `There is no generation option "${name}".`, {
      remedy: nearest === undefined ? `The options are ${known.join(", ")}.` : `Did you mean "${nearest}"?`,
    });
  }
}

function rejectWrongCallbacks(caller: OptionSource): void {
  const [signal, onPrefill] = [caller.read("signal"), caller.read("onPrefill")];
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw caller.invalid("signal", "an AbortSignal", signal);
  }
  if (onPrefill !== undefined && typeof onPrefill !== "function") {
    throw caller.invalid("onPrefill", "a function", onPrefill);
  }
}

function readStop(source: OptionSource, name: string): readonly string[] | undefined {
  const stop = source.read(name);
  if (stop === undefined) {
    return undefined;
  }
  const strings: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  for (const value of strings) {
    if (typeof value !== "string" || value === "") {
      throw source.invalid(name, "a non-empty string or a list of them", value);
    }
  }
  return strings as readonly string[];
}

function readSequence(caller: OptionSource): readonly [number, number, number] {
  const sequence = caller.read("sequence");
  if (sequence === undefined) {
    return [0, 0, 0];
  }
  const isU32 = (word: unknown): word is number => typeof word === "number" && word >>> 0 === word;
  if (Array.isArray(sequence) && sequence.length === 3) {
    const [first, second, third] = sequence as readonly unknown[];
    if (isU32(first) && isU32(second) && isU32(third)) {
      return [first, second, third];
    }
  }
  throw caller.invalid("sequence", "three integers in 0 .. 2^32 - 1", sequence);
}

/** Warnings for a caller who sets what only sampling, or only beam search, uses, but does not ask for it. */
function ineffectiveOptions(
  options: GenerateOptions,
  sampling: ResolvedSampling,
  beams: ResolvedBeams,
): string[] {
  const setOf = (names: readonly (keyof GenerateOptions)[]): string =>
    names.filter((name) => options[name] !== undefined).join(", ");
  const warnings: string[] = [];
  const ofBeams = beams.count > 1 ? "" : setOf(BEAM_OPTIONS);
  if (ofBeams !== "") {
    warnings.push(`${ofBeams} has no effect without beam search (numBeams above 1).`);
  }
  if (sampling.doSample) {
    return warnings;
  }
  const instead =
    beams.count > 1 ? "the most likely sequences are searched" : "the most likely token is taken each time";
  if (options.doSample === true) {
    return [...warnings, `doSample is true, but the temperature is 0: ${instead}.`];
  }
  const ofSampling = setOf([...DRAWING_OPTIONS, "seed"]);
  // Temperature 0 asks for greedy decoding, which is what happens.
  if (ofSampling === "" || options.temperature === 0) {
    return warnings;
  }
  const effect = ofSampling.includes(",") ? "have no effect" : "has no effect";
  return [
    ...warnings,
    options.doSample === false
      ? `doSample is false, so ${ofSampling} ${effect}: ${instead}.`
      : `${ofSampling} ${effect} without sampling, which a temperature or doSample asks for: ${instead}.`,
  ];
}

function unsupportedSettings(generationConfig: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(UNSUPPORTED_CONFIG_KEYS)
    .filter(([key, off]) => ![undefined, null, off].includes(generationConfig[key]))
    .map(
      ([key]) =>
        `generation_config.json sets ${key} to ${inspect(generationConfig[key], { breakLength: Infinity })}; that is not supported and has no effect.`,
    );
}
