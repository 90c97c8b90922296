/** Reads the rules of token choice beside ResolvedSampling. */
import type { ModelComposeError } from "../../base/errors.ts";
import { count, readNumber, type NumberRule, type OptionSource } from "./option-source.ts";

/** A bias on the last of `ids` wherever the others came right before it; −Infinity bans it there. */
export interface SequenceBias {
  readonly ids: readonly number[];
  readonly bias: number;
}

/** What rules the choice of tokens beside ResolvedSampling: settings that few requests have and not every device knows. */
export interface TokenRules {
  /** No n-gram of this size appears twice; 0 is off. */
  readonly noRepeatNgramSize: number;
  readonly sequenceBias: readonly SequenceBias[];
  /** What a token's score loses for each time that it is among the new ones; 0 is off. */
  readonly frequencyPenalty: number;
  /** What a token's score loses where it is among the new ones; 0 is off. */
  readonly presencePenalty: number;
  /** Inverse penalty of tokens that the encoder read; 1 is off. */
  readonly encoderRepetitionPenalty: number;
  /** No n-gram of this size in the source appears in the new text; 0 is off. */
  readonly encoderNoRepeatNgramSize: number;
  /** The second token of a sequence; undefined is off. */
  readonly forcedBosTokenId: number | undefined;
  /** One of these is the last token of a sequence of full length; empty is off. */
  readonly forcedEosTokenIds: readonly number[];
  /** Sequences of tokens that are never completed. */
  readonly badWordsIds: readonly (readonly number[])[];
  /** Tokens that are never chosen. */
  readonly suppressTokens: readonly number[];
  /** Tokens that the first token that is not forced cannot be. */
  readonly beginSuppressTokens: readonly number[];
}

/** The rules of one sequence. Plain data: it is posted to worker threads. */
export interface SequenceRules extends TokenRules {
  /** An encoder's input; the prompt of a model without one. */
  readonly sourceIds: readonly number[];
  /** The most tokens of a sequence, prompt included. */
  readonly maxLength: number;
}

/** The longest n-gram that is looked for: what repeats is words and sentences, and each n-gram is kept. */
export const MOST_NGRAM_SIZE = 100;
const NGRAM_SIZE = count(0, MOST_NGRAM_SIZE);
/** The largest normal number of f32 whose inverse, by which scores are multiplied, is one too. */
const LARGEST_INVERTIBLE_F32 = 2 ** 126;
/** OpenAI's penalties, which are subtracted from scores; below 0 they favour what is there already. */
const SUBTRACTED_PENALTY: NumberRule = {
  range: "a number in -2 .. 2",
  allows: (value) => Math.abs(value) <= 2,
};
const ENCODER_PENALTY: NumberRule = {
  range: "a number in 2^-126 .. 2^126",
  allows: (value) => value >= 1 / LARGEST_INVERTIBLE_F32 && value <= LARGEST_INVERTIBLE_F32,
};

/**
 * Resolves and checks the token rules. Precedence: caller, generation_config.json.
 *
 * @param ignoreEos whether the caller ignores ends of sequences: then none is forced
 * @returns undefined when no rule is on
 * @throws ModelComposeError as `resolveSampling`
 */
export function resolveTokenRules(
  caller: OptionSource,
  config: OptionSource,
  ignoreEos: boolean,
): TokenRules | undefined {
  const ngramSize = (name: "noRepeatNgramSize" | "encoderNoRepeatNgramSize"): number =>
    readNumber(caller, name, NGRAM_SIZE) ?? readNumber(config, name, NGRAM_SIZE) ?? 0;
  const forced = (name: string, most: number): readonly number[] =>
    readForced(caller, name, most) ?? readForced(config, name, most) ?? [];
  const rules: TokenRules = {
    noRepeatNgramSize: ngramSize("noRepeatNgramSize"),
    sequenceBias: readSequenceBias(caller) ?? readSequenceBias(config) ?? [],
    frequencyPenalty: readNumber(caller, "frequencyPenalty", SUBTRACTED_PENALTY) ?? 0,
    presencePenalty: readNumber(caller, "presencePenalty", SUBTRACTED_PENALTY) ?? 0,
    encoderRepetitionPenalty: readNumber(config, "encoderRepetitionPenalty", ENCODER_PENALTY) ?? 1,
    encoderNoRepeatNgramSize: ngramSize("encoderNoRepeatNgramSize"),
    forcedBosTokenId: forced("forcedBosTokenId", 1)[0],
    forcedEosTokenIds: ignoreEos ? [] : forced("forcedEosTokenId", Infinity),
    badWordsIds: readLists(config, "badWordsIds"),
    suppressTokens: readIds(config, "suppressTokens"),
    beginSuppressTokens: readIds(config, "beginSuppressTokens"),
  };
  return isOn(rules) ? rules : undefined;
}

function isOn(rules: TokenRules): boolean {
  const lists = [
    rules.sequenceBias,
    rules.forcedEosTokenIds,
    rules.badWordsIds,
    rules.suppressTokens,
    rules.beginSuppressTokens,
  ];
  return (
    rules.noRepeatNgramSize > 0 ||
    rules.frequencyPenalty !== 0 ||
    rules.presencePenalty !== 0 ||
    rules.encoderRepetitionPenalty !== 1 ||
    rules.encoderNoRepeatNgramSize > 0 ||
    rules.forcedBosTokenId !== undefined ||
    lists.some((list) => list.length > 0)
  );
}

const isTokenId = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

/** Scores are f32, in which a bias must be a number. */
const isBias = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(Math.fround(value));

const isList = (value: unknown): value is number[] => Array.isArray(value) && value.every(isTokenId);

/** The forced tokens of a source: none for null, undefined when unset. */
function readForced(source: OptionSource, name: string, most: number): readonly number[] | undefined {
  const value = source.read(name);
  if (value === undefined) {
    return undefined;
  }
  if (value === null) {
    return [];
  }
  if (isTokenId(value)) {
    return [value];
  }
  if (isList(value) && value.length <= most) {
    return value;
  }
  const expected = most === 1 ? "a token id or null" : "a token id, a list of them or null";
  throw source.invalid(name, expected, value);
}

function readIds(source: OptionSource, name: string): readonly number[] {
  const value = source.read(name);
  if (value === undefined) {
    return [];
  }
  if (isList(value)) {
    return value;
  }
  throw source.invalid(name, "a list of token ids", value);
}

function readLists(source: OptionSource, name: string): readonly (readonly number[])[] {
  const value = source.read(name);
  if (value === undefined) {
    return [];
  }
  if (Array.isArray(value) && value.every((ids) => isList(ids) && ids.length > 0)) {
    return value as number[][];
  }
  throw source.invalid(name, "a list of non-empty lists of token ids", value);
}

/** Reads biases as the file has them: [[ids, bias], …]. Of equal ids the last counts, as in transformers. */
function readSequenceBias(source: OptionSource): readonly SequenceBias[] | undefined {
  const value = source.read("sequenceBias");
  if (value === undefined) {
    return undefined;
  }
  const wrong = (): ModelComposeError =>
    source.invalid("sequenceBias", "a list of [token ids, number]", value);
  if (!Array.isArray(value)) {
    throw wrong();
  }
  const byIds = new Map<string, SequenceBias>();
  for (const entry of value as readonly unknown[]) {
    const [ids, bias, ...rest] = (Array.isArray(entry) ? entry : []) as readonly unknown[];
    if (!isList(ids) || ids.length === 0 || !isBias(bias) || rest.length > 0) {
      throw wrong();
    }
    byIds.set(ids.join(), { ids, bias });
  }
  return [...byIds.values()];
}
