/** Reads the settings of TokenRules. */
import type { SequenceBias, TokenRules } from "./history-processors.ts";
import { invalid, readNumber, type Source } from "./option-source.ts";

/**
 * @returns undefined when no rule is on
 * @throws ModelComposeError as `resolveGenerateOptions`
 */
export function resolveTokenRules(
  caller: Source,
  config: Source,
  given: { ignoreEos: boolean } & Pick<TokenRules, "noRepeatNgramSize" | "encoderNoRepeatNgramSize">,
): TokenRules | undefined {
  const forced = (name: string, most: number): readonly number[] =>
    readForced(caller, name, most) ?? readForced(config, name, most) ?? [];
  const rules: TokenRules = {
    noRepeatNgramSize: given.noRepeatNgramSize,
    sequenceBias: readSequenceBias(config),
    encoderRepetitionPenalty:
      readNumber(config, "encoderRepetitionPenalty", {
        range: "a number > 0",
        allows: (value) => value > 0 && Number.isFinite(value),
      }) ?? 1,
    encoderNoRepeatNgramSize: given.encoderNoRepeatNgramSize,
    forcedBosTokenId: forced("forcedBosTokenId", 1)[0],
    forcedEosTokenIds: given.ignoreEos ? [] : forced("forcedEosTokenId", Infinity),
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
    rules.encoderRepetitionPenalty !== 1 ||
    rules.encoderNoRepeatNgramSize > 0 ||
    rules.forcedBosTokenId !== undefined ||
    lists.some((list) => list.length > 0)
  );
}

const isTokenId = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

const isList = (value: unknown): value is number[] => Array.isArray(value) && value.every(isTokenId);

/** null: none. undefined: unset. */
function readForced(source: Source, name: string, most: number): readonly number[] | undefined {
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
  throw invalid(source.code, source.describe(name), expected, value);
}

function readIds(source: Source, name: string): readonly number[] {
  const value = source.read(name);
  if (value === undefined) {
    return [];
  }
  if (isList(value)) {
    return value;
  }
  throw invalid(source.code, source.describe(name), "a list of token ids", value);
}

function readLists(source: Source, name: string): readonly (readonly number[])[] {
  const value = source.read(name);
  if (value === undefined) {
    return [];
  }
  if (Array.isArray(value) && value.every((ids) => isList(ids) && ids.length > 0)) {
    return value as number[][];
  }
  throw invalid(source.code, source.describe(name), "a list of non-empty lists of token ids", value);
}

/** As the file has them: [[ids, bias], …]. Of equal ids the last counts, as in the reference. */
function readSequenceBias(source: Source): readonly SequenceBias[] {
  const value = source.read("sequenceBias");
  if (value === undefined) {
    return [];
  }
  const wrong = (): Error =>
    invalid(source.code, source.describe("sequenceBias"), "a list of [token ids, number]", value);
  if (!Array.isArray(value)) {
    throw wrong();
  }
  const byIds = new Map<string, SequenceBias>();
  for (const entry of value as readonly unknown[]) {
    const [ids, bias, ...rest] = (Array.isArray(entry) ? entry : []) as readonly unknown[];
    if (!isList(ids) || ids.length === 0 || typeof bias !== "number" || rest.length > 0) {
      throw wrong();
    }
    byIds.set(ids.join(), { ids, bias });
  }
  return [...byIds.values()];
}
