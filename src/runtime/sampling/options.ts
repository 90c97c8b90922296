/**
 * From what a caller and a model's generation_config.json ask for to one complete, valid set of parameters.
 * Precedence: caller, generation_config.json, transformers' defaults.
 */
import { inspect } from "node:util";
import { ModelComposeError } from "../../base/errors.ts";
import type { GenerateOptions } from "../generation/types.ts";
import type { TokenRules } from "./history-processors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import {
  callerSource,
  configSource,
  count,
  invalid,
  readBoolean,
  readNumber,
  type NumberRule,
  type Source,
} from "./option-source.ts";
import { resolveTokenRules } from "./token-rules.ts";

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
  readonly seed: number;
}

/** A beam search, complete and valid. */
export interface ResolvedBeams {
  /** 1: no beam search. */
  readonly count: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  /** 1 .. count. */
  readonly returnSequences: number;
}

/** Everything of GenerateOptions that is data, complete and valid. */
export interface ResolvedGeneration {
  readonly sampling: ResolvedSampling;
  /** Undefined: no bound but `maxLength` and the context. */
  readonly maxNewTokens: number | undefined;
  /** Bound on all tokens of a sequence; undefined wherever a bound on new tokens goes before it. */
  readonly maxLength: number | undefined;
  /** 0 wherever `minLength` is what was asked for. */
  readonly minNewTokens: number;
  readonly minLength: number;
  readonly beams: ResolvedBeams;
  /** Undefined: none is on. */
  readonly rules: TokenRules | undefined;
  readonly maxPromptTokens: number | undefined;
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
  readonly returnFullText: boolean;
  readonly sequence: readonly [number, number, number];
  /** Settings that have no effect; for GenerateResult.warnings. */
  readonly warnings: readonly string[];
}

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
  encoderNoRepeatNgramSize: count(0),
  seed: { range: "an integer in 0 .. 2^53 - 1", allows: count(0).allows },
  maxNewTokens: count(1),
  minNewTokens: count(0),
  maxLength: count(1),
  minLength: count(0),
  numBeams: count(1),
  lengthPenalty: { range: "a number", allows: Number.isFinite },
  numReturnSequences: count(1),
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
  returnFullText: true,
  sequence: true,
  signal: true,
  onPrefill: true,
};

/** Settings of generation_config.json that change what transformers generates, and the value that is off. */
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
  const caller = callerSource(options);
  const config = configSource(generationConfig);
  const read = (source: Source, name: NumberName): number | undefined =>
    readNumber(source, name, NUMBER_RULES[name]);
  const number = (name: NumberName): number | undefined => read(caller, name) ?? read(config, name);
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
    seed: read(caller, "seed") ?? drawSeed(),
  };
  const beams = resolveBeams(caller, config);
  const ignoreEos = ownSwitch("ignoreEos") ?? false;
  return {
    sampling,
    ...resolveLengths(caller, config),
    beams: beams.resolved,
    rules: resolveTokenRules(caller, config, {
      ignoreEos,
      noRepeatNgramSize: number("noRepeatNgramSize") ?? 0,
      encoderNoRepeatNgramSize: number("encoderNoRepeatNgramSize") ?? 0,
    }),
    maxPromptTokens: read(caller, "maxPromptTokens"),
    stop: readStop(caller, "stop") ?? readStop(config, "stopStrings") ?? [],
    ignoreEos,
    returnFullText: ownSwitch("returnFullText") ?? true,
    sequence: readSequence(options.sequence),
    warnings: [
      ...ineffectiveOptions(options, sampling, beams.resolved),
      ...beams.warnings,
      ...unsupportedSettings(generationConfig),
    ],
  };
}

/**
 * Of each pair of bounds, on new tokens and on all tokens, the first that is set: the caller's on new tokens, the
 * caller's on all, the file's on new tokens, the file's on all.
 */
function resolveLengths(
  caller: Source,
  config: Source,
): Pick<ResolvedGeneration, "maxNewTokens" | "maxLength" | "minNewTokens" | "minLength"> {
  const first = (names: readonly [NumberName, NumberName]): { new?: number; all?: number } => {
    for (const source of [caller, config]) {
      const [ofNew, ofAll] = names.map((name) => readNumber(source, name, NUMBER_RULES[name]));
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
    const [from, to] = [least, most].map((name) => readNumber(caller, name, NUMBER_RULES[name]));
    if (from !== undefined && to !== undefined && from > to) {
      throw invalid("invalid-argument", `The option "${least}"`, `at most ${most}, ${to}`, from);
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

function resolveBeams(caller: Source, config: Source): { resolved: ResolvedBeams; warnings: string[] } {
  const read = (source: Source, name: NumberName): number | undefined =>
    readNumber(source, name, NUMBER_RULES[name]);
  const beams = read(caller, "numBeams") ?? read(config, "numBeams") ?? 1;
  const asked = read(caller, "numReturnSequences");
  if (asked !== undefined && asked > beams) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "numReturnSequences" must be at most numBeams, ${beams}; found ${asked}.`,
      {
        remedy:
          "Raise numBeams, or generate several times: sampling draws other text for another seed or sequence.",
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

function readEarlyStopping(source: Source): boolean | "never" | undefined {
  const value = source.read("earlyStopping");
  if (value === undefined || typeof value === "boolean" || value === "never") {
    return value;
  }
  throw invalid(source.code, source.describe("earlyStopping"), 'true, false or "never"', value);
}

function rejectUnknownNames(options: GenerateOptions): void {
  if (typeof options !== "object" || options === null) {
    throw invalid("invalid-argument", "The generation options", "an object", options);
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

function rejectWrongCallbacks(options: GenerateOptions): void {
  const { signal, onPrefill }: { signal?: unknown; onPrefill?: unknown } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid("invalid-argument", 'The option "signal"', "an AbortSignal", signal);
  }
  if (onPrefill !== undefined && typeof onPrefill !== "function") {
    throw invalid("invalid-argument", 'The option "onPrefill"', "a function", onPrefill);
  }
}

function readStop(source: Source, name: string): readonly string[] | undefined {
  const stop = source.read(name);
  if (stop === undefined) {
    return undefined;
  }
  const strings: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  for (const value of strings) {
    if (typeof value !== "string" || value === "") {
      throw invalid(source.code, source.describe(name), "a non-empty string or a list of them", value);
    }
  }
  return strings as readonly string[];
}

function readSequence(sequence: unknown): readonly [number, number, number] {
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
  throw invalid("invalid-argument", 'The option "sequence"', "three integers in 0 .. 2^32 - 1", sequence);
}

/** 32 bits: enough to be unlike the last one, short enough to be typed again. */
function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** A caller who sets what only sampling, or only beam search, uses, but asks for neither, is told so. */
function ineffectiveOptions(
  options: GenerateOptions,
  sampling: ResolvedSampling,
  beams: ResolvedBeams,
): string[] {
  const setOf = (names: readonly (keyof GenerateOptions)[]): string =>
    names.filter((name) => options[name] !== undefined).join(", ");
  const warnings: string[] = [];
  const ofBeams = beams.count > 1 ? "" : setOf(["lengthPenalty", "earlyStopping"]);
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
  const ofSampling = setOf(["temperature", "topK", "topP", "minP"]);
  // Temperature 0 asks for greedy decoding, which is what happens.
  if (ofSampling !== "" && options.temperature !== 0) {
    warnings.push(`${ofSampling} has no effect without doSample: ${instead}.`);
  }
  return warnings;
}

function unsupportedSettings(generationConfig: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(UNSUPPORTED_CONFIG_KEYS)
    .filter(([key, off]) => ![undefined, null, off].includes(generationConfig[key]))
    .map(
      ([key]) =>
        `generation_config.json sets ${key} to ${inspect(generationConfig[key], { breakLength: Infinity })}; that is not supported and has no effect.`,
    );
}
