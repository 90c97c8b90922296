/**
 * The processors that depend on the tokens so far, in the order of transformers (5.x, `_get_logits_processor`); OpenAI's
 * penalties, which transformers has not, come behind the repetition penalty, as in vLLM. They come before those that depend on the distribution alone (temperature, top-k, top-p, min-p). What they process are
 * logits, or log-probabilities in a beam search.
 */
import { banTokens, forceTokens, penaliseCounts, penaliseRepetition } from "./logits-processors.ts";
import type { SequenceBias, SequenceRules } from "./token-rules.ts";
import { followersOf, type HistoryNeeds, type TokenHistory } from "./token-history.ts";

/** How the tokens so far rule the choice of the next one. */
export interface HistorySettings {
  /** Penalty of tokens that are there already; 1 is off. */
  repetitionPenalty: number;
  eosTokenIds: readonly number[];
  /** End-of-sequence tokens are banned for so many new tokens. */
  minNewTokens: number;
  /** Tokens before the first new one (of an encoder–decoder: the decoder's). */
  promptLength: number;
  rules?: SequenceRules;
}

/** The processors of one sequence, or of all beams of a search. */
export class HistoryProcessors {
  readonly #settings: HistorySettings;
  readonly #sourceSeen: Int32Array;
  /** Biases, bans of bad words among them, in the order of transformers. */
  readonly #badWords: readonly SequenceBias[];

  constructor(settings: HistorySettings) {
    this.#settings = settings;
    const { rules, eosTokenIds } = settings;
    this.#sourceSeen = Int32Array.from(new Set(rules?.sourceIds));
    // A word of one end-of-sequence token would never let a sequence end.
    this.#badWords = (rules?.badWordsIds ?? [])
      .filter((ids) => ids.length !== 1 || !eosTokenIds.includes(ids[0] ?? -1))
      .map((ids) => ({ ids, bias: -Infinity }));
  }

  /** What `apply` asks of histories. */
  get needs(): HistoryNeeds {
    const { repetitionPenalty, promptLength, rules } = this.#settings;
    const prefixes = [...(rules?.sequenceBias ?? []), ...this.#badWords].map(({ ids }) => ids.length - 1);
    return {
      seen: repetitionPenalty !== 1,
      ngramSize: rules?.noRepeatNgramSize ?? 0,
      countsFrom: rules !== undefined && penalisesCounts(rules) ? promptLength : Infinity,
      last: Math.max(0, (rules?.encoderNoRepeatNgramSize ?? 0) - 1, ...prefixes),
    };
  }

  /** Whether `apply` may change scores; when false it does not, after whatever history. */
  get mayChange(): boolean {
    const { repetitionPenalty, minNewTokens, eosTokenIds, rules } = this.#settings;
    const bansEos = minNewTokens > 0 && eosTokenIds.length > 0;
    return repetitionPenalty !== 1 || bansEos || rules !== undefined;
  }

  /**
   * Processes the scores of the token that follows the history.
   *
   * @param scores f32 [vocabulary], changed in place
   */
  apply(scores: Float32Array, history: TokenHistory): void {
    const { repetitionPenalty, eosTokenIds, minNewTokens, promptLength, rules } = this.#settings;
    if (rules !== undefined) {
      addBiases(scores, rules.sequenceBias, history);
      if (rules.encoderRepetitionPenalty !== 1) {
        // The inverse penalty: what the encoder read becomes likelier.
        const seen = { ids: this.#sourceSeen, size: this.#sourceSeen.length };
        penaliseRepetition(scores, seen, 1 / rules.encoderRepetitionPenalty);
      }
    }
    if (repetitionPenalty !== 1) {
      penaliseRepetition(scores, history.seen(), repetitionPenalty);
    }
    if (rules !== undefined && penalisesCounts(rules)) {
      const { frequencyPenalty: frequency, presencePenalty: presence } = rules;
      penaliseCounts(scores, history.countsFrom(promptLength), { frequency, presence });
    }
    if (rules !== undefined) {
      banNgrams(scores, rules, history);
    }
    addBiases(scores, this.#badWords, history);
    if (history.length - promptLength < minNewTokens) {
      banTokens(scores, eosTokenIds);
    }
    if (rules !== undefined) {
      applyPositionRules(scores, rules, history.length, promptLength);
    }
  }
}

function penalisesCounts({ frequencyPenalty, presencePenalty }: SequenceRules): boolean {
  return frequencyPenalty !== 0 || presencePenalty !== 0;
}

function banNgrams(scores: Float32Array, rules: SequenceRules, history: TokenHistory): void {
  const { noRepeatNgramSize, encoderNoRepeatNgramSize: sourceSize, sourceIds } = rules;
  if (noRepeatNgramSize > 0) {
    banTokens(scores, history.repeats(noRepeatNgramSize));
  }
  if (sourceSize > 0) {
    banTokens(scores, followersOf(sourceIds, sourceSize, history.last(sourceSize - 1)));
  }
}

function applyPositionRules(
  scores: Float32Array,
  rules: SequenceRules,
  length: number,
  promptLength: number,
): void {
  const { forcedBosTokenId, forcedEosTokenIds, maxLength } = rules;
  if (forcedBosTokenId !== undefined && length === 1) {
    forceTokens(scores, [forcedBosTokenId]);
  }
  if (forcedEosTokenIds.length > 0 && length === maxLength - 1) {
    forceTokens(scores, forcedEosTokenIds);
  }
  banTokens(scores, rules.suppressTokens);
  const isBegin = promptLength > 1 || forcedBosTokenId === undefined ? promptLength : promptLength + 1;
  if (length === isBegin) {
    banTokens(scores, rules.beginSuppressTokens);
  }
}

/** Adds biases to scores; those of one token are summed first, in f32. */
function addBiases(scores: Float32Array, biases: readonly SequenceBias[], history: TokenHistory): void {
  const sums = new Map<number, number>();
  const add = (token: number, bias: number): void =>
    void sums.set(token, Math.fround((sums.get(token) ?? 0) + bias));
  for (const { ids, bias } of biases) {
    const last = history.last(ids.length - 1);
    if (last.length === ids.length - 1 && last.every((token, i) => token === ids[i])) {
      add(ids[ids.length - 1] ?? 0, Math.fround(bias));
    }
  }
  for (const [token, bias] of sums) {
    if (token < scores.length) {
      scores[token] = (scores[token] ?? 0) + bias;
    }
  }
}
