/**
 * From what a caller and a model's generation_config.json ask for to one complete, valid set of parameters.
 * Precedence: caller, generation_config.json, transformers' defaults.
 */
import { inspect } from "node:util";
import { ModelComposeError, type ErrorCode } from "./errors.ts";
import type { GenerateOptions } from "./generation-types.ts";
import { nearestName } from "./nearest-name.ts";

/** How to choose tokens, complete and valid. Plain data: it is posted to worker threads. */
export interface ResolvedSampling {
  /** False also when the temperature is 0. */
  readonly doSample: boolean;
  /** > 0 whenever doSample is true. */
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  /** 1 keeps all. */
  readonly topP: number;
  /** 0 keeps all. */
  readonly minP: number;
  /** 1 is off. */
  readonly repetitionPenalty: number;
  /** 0 is off. */
  readonly noRepeatNgramSize: number;
  readonly seed: number;
}

/** Everything of GenerateOptions that is data, complete and valid. */
export interface ResolvedGeneration {
  readonly sampling: ResolvedSampling;
  /** Undefined: no bound but `maxLength` and the context. */
  readonly maxNewTokens: number | undefined;
  /** generation_config's bound on prompt + new tokens; undefined wherever a bound on new tokens is set. */
  readonly maxLength: number | undefined;
  readonly minNewTokens: number;
  readonly maxPromptTokens: number | undefined;
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
  readonly returnFullText: boolean;
  readonly sequence: readonly [number, number, number];
  /** Settings that have no effect; for GenerateResult.warnings. */
  readonly warnings: readonly string[];
}

interface NumberRule {
  /** The range in words, for messages. */
  readonly range: string;
  readonly allows: (value: number) => boolean;
}

const count = (minimum: number): NumberRule => ({
  range: `an integer >= ${minimum}`,
  allows: (value) => Number.isSafeInteger(value) && value >= minimum,
});

/** Smallest normal number of f32, the type that logits are scaled in. */
const SMALLEST_NORMAL_F32 = 2 ** -126;

/** The numeric parameters by their names in GenerateOptions, with the values they may have. */
export const NUMBER_RULES = {
  temperature: {
    range: "0 (greedy) or a positive number",
    allows: (value) => value === 0 || (value >= SMALLEST_NORMAL_F32 && Number.isFinite(Math.fround(value))),
  },
  topK: count(0),
  topP: { range: "a number > 0 and <= 1", allows: (value) => value > 0 && value <= 1 },
  minP: { range: "a number >= 0 and <= 1", allows: (value) => value >= 0 && value <= 1 },
  repetitionPenalty: {
    range: "a number > 0",
    allows: (value) => value >= SMALLEST_NORMAL_F32 && Number.isFinite(Math.fround(value)),
  },
  noRepeatNgramSize: count(0),
  seed: { range: "an integer in 0 .. 2^53 - 1", allows: count(0).allows },
  maxNewTokens: count(1),
  minNewTokens: count(0),
  maxPromptTokens: count(1),
} as const satisfies Partial<Record<keyof GenerateOptions, NumberRule>>;

type NumberName = keyof typeof NUMBER_RULES;

const OPTION_NAMES: Readonly<Record<keyof GenerateOptions, true>> = {
  doSample: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  noRepeatNgramSize: true,
  seed: true,
  maxNewTokens: true,
  minNewTokens: true,
  maxPromptTokens: true,
  stop: true,
  ignoreEos: true,
  returnFullText: true,
  sequence: true,
  signal: true,
  onPrefill: true,
};

/** Settings of generation_config.json that change what transformers generates, and the value that is off. */
const UNSUPPORTED_CONFIG_KEYS: Readonly<Record<string, unknown>> = {
  num_beams: 1,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  top_h: undefined,
  penalty_alpha: undefined,
  encoder_repetition_penalty: 1,
  encoder_no_repeat_ngram_size: 0,
  bad_words_ids: undefined,
  sequence_bias: undefined,
  suppress_tokens: undefined,
  begin_suppress_tokens: undefined,
  forced_bos_token_id: undefined,
  forced_eos_token_id: undefined,
  exponential_decay_length_penalty: undefined,
  guidance_scale: 1,
  min_length: 0,
};

/** One place that parameters come from: the caller's options or generation_config.json. */
interface Source {
  readonly code: ErrorCode;
  /** How messages name a parameter of this source. */
  readonly describe: (name: string) => string;
  readonly read: (name: string) => unknown;
}

/**
 * @param options what the caller asks for; `undefined` is unset
 * @param generationConfig the parsed generation_config.json; `null` is unset, as in transformers
 * @throws ModelComposeError "invalid-argument" (caller) or "invalid-config" (file) naming parameter, range and value
 */
export function resolveGenerateOptions(
  options: GenerateOptions = {},
  generationConfig: Readonly<Record<string, unknown>> = {},
): ResolvedGeneration {
  rejectUnknownNames(options);
  rejectWrongCallbacks(options);
  const caller: Source = {
    code: "invalid-argument",
    describe: (name) => `The option "${name}"`,
    read: (name) => (options as Readonly<Record<string, unknown>>)[name],
  };
  const config: Source = {
    code: "invalid-config",
    describe: (name) => `"${snakeCase(name)}" in generation_config.json`,
    read: (name) => generationConfig[snakeCase(name)] ?? undefined,
  };

  const number = (name: NumberName): number | undefined =>
    readNumber(caller, name) ?? readNumber(config, name);
  const ownSwitch = (name: keyof GenerateOptions): boolean | undefined => readBoolean(caller, name);

  const temperature = number("temperature") ?? 1;
  const wantsSample = ownSwitch("doSample") ?? readBoolean(config, "doSample") ?? false;
  const sampling: ResolvedSampling = {
    doSample: wantsSample && temperature > 0,
    temperature,
    topK: number("topK") ?? 50,
    topP: number("topP") ?? 1,
    minP: number("minP") ?? 0,
    repetitionPenalty: number("repetitionPenalty") ?? 1,
    noRepeatNgramSize: number("noRepeatNgramSize") ?? 0,
    seed: readNumber(caller, "seed") ?? drawSeed(),
  };
  const maxNewTokens = number("maxNewTokens");
  const minNewTokens = number("minNewTokens") ?? 0;
  if (options.maxNewTokens !== undefined && (options.minNewTokens ?? 0) > options.maxNewTokens) {
    throw invalid(
      "invalid-argument",
      'The option "minNewTokens"',
      `at most maxNewTokens, ${maxNewTokens}`,
      minNewTokens,
    );
  }
  return {
    sampling,
    maxNewTokens,
    maxLength: maxNewTokens === undefined ? readConfigMaxLength(config) : undefined,
    minNewTokens,
    maxPromptTokens: readNumber(caller, "maxPromptTokens"),
    stop: readStop(options.stop),
    ignoreEos: ownSwitch("ignoreEos") ?? false,
    returnFullText: ownSwitch("returnFullText") ?? true,
    sequence: readSequence(options.sequence),
    warnings: [...ineffectiveOptions(options, sampling), ...unsupportedSettings(generationConfig)],
  };
}

function rejectUnknownNames(options: GenerateOptions): void {
  if (typeof options !== "object" || options === null) {
    throw invalid("invalid-argument", "The generation options", "an object", options);
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(OPTION_NAMES, name)) continue;
    const known = Object.keys(OPTION_NAMES);
    const nearest = nearestName(name, known);
    throw new ModelComposeError("invalid-argument", `There is no generation option "${name}".`, {
      remedy: nearest === undefined ? `The options are ${known.join(", ")}.` : `Did you mean "${nearest}"?`,
    });
  }
}

function rejectWrongCallbacks(options: GenerateOptions): void {
  const { signal, onPrefill }: { signal?: unknown; onPrefill?: unknown } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid("invalid-argument", 'The option "signal"', "an AbortSignal", signal);
  }
  if (onPrefill !== undefined && typeof onPrefill !== "function") {
    throw invalid("invalid-argument", 'The option "onPrefill"', "a function", onPrefill);
  }
}

function readNumber(source: Source, name: NumberName): number | undefined {
  const value = source.read(name);
  if (value === undefined) return undefined;
  const rule: NumberRule = NUMBER_RULES[name];
  if (typeof value !== "number" || !rule.allows(value)) {
    throw invalid(source.code, source.describe(name), rule.range, value);
  }
  return value;
}

function readBoolean(source: Source, name: keyof GenerateOptions): boolean | undefined {
  const value = source.read(name);
  if (value === undefined || typeof value === "boolean") return value;
  throw invalid(source.code, source.describe(name), "true or false", value);
}

function readConfigMaxLength(config: Source): number | undefined {
  const value = config.read("maxLength");
  if (value === undefined) return undefined;
  const rule = count(1);
  if (typeof value === "number" && rule.allows(value)) return value;
  throw invalid(config.code, config.describe("maxLength"), rule.range, value);
}

function readStop(stop: unknown): readonly string[] {
  if (stop === undefined) return [];
  const strings: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  for (const value of strings) {
    if (typeof value !== "string" || value === "") {
      throw invalid("invalid-argument", 'The option "stop"', "a non-empty string or a list of them", value);
    }
  }
  return strings as readonly string[];
}

function readSequence(sequence: unknown): readonly [number, number, number] {
  if (sequence === undefined) return [0, 0, 0];
  const isU32 = (word: unknown): word is number => typeof word === "number" && word >>> 0 === word;
  if (Array.isArray(sequence) && sequence.length === 3) {
    const [first, second, third] = sequence as readonly unknown[];
    if (isU32(first) && isU32(second) && isU32(third)) return [first, second, third];
  }
  throw invalid("invalid-argument", 'The option "sequence"', "three integers in 0 .. 2^32 - 1", sequence);
}

/** 32 bits: enough to be unlike the last one, short enough to be typed again. */
function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** A caller who sets what only sampling uses, but does not sample, is told so. */
function ineffectiveOptions(options: GenerateOptions, sampling: ResolvedSampling): string[] {
  if (sampling.doSample) return [];
  if (options.doSample === true) {
    return ["doSample is true, but the temperature is 0: the most likely token is taken each time."];
  }
  const names = (["temperature", "topK", "topP", "minP"] as const).filter(
    (name) => options[name] !== undefined,
  );
  // Temperature 0 asks for greedy decoding, which is what happens.
  if (names.length === 0 || options.temperature === 0) return [];
  return [`${names.join(", ")} has no effect without doSample: the most likely token is taken each time.`];
}

function unsupportedSettings(generationConfig: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(UNSUPPORTED_CONFIG_KEYS)
    .filter(([key, off]) => ![undefined, null, off].includes(generationConfig[key]))
    .map(
      ([key]) =>
        `generation_config.json sets ${key} to ${inspect(generationConfig[key], { breakLength: Infinity })}; that is not supported and has no effect.`,
    );
}

function invalid(code: ErrorCode, what: string, expected: string, found: unknown): ModelComposeError {
  const shown = inspect(found, { breakLength: Infinity, depth: 1, maxArrayLength: 8, maxStringLength: 60 });
  return new ModelComposeError(code, `${what} must be ${expected}; found ${shown}.`, {
    remedy: "Correct it or leave it out.",
  });
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
