import { ModelComposeError } from "../../base/errors.ts";
import { unusableMaximum } from "./errors.ts";
import { HistoryProcessors } from "./history-processors.ts";
import {
  applyTemperature,
  argmax,
  keepFinite,
  keepMinP,
  keepNucleus,
  keepTopK,
  pick,
  weigh,
  type TokenList,
} from "./logits-processors.ts";
import { uniform } from "./philox.ts";
import type { ResolvedSampling } from "./options.ts";
import { scaleByFraction } from "./softmax-weights.ts";
import { GrowingHistory } from "./token-history.ts";
import { keepAllowed, type AllowedTokens } from "./allowed-tokens.ts";
import type { SequenceRules } from "./token-rules.ts";

export interface SamplerContext {
  /** Length of the logits. */
  vocabSize: number;
  promptIds: ArrayLike<number>;
  eosTokenIds: readonly number[];
  /** End-of-sequence tokens are banned for so many new tokens. */
  minNewTokens: number;
  /** Which sequence of a larger job this is: words 1..3 of the random generator's counter. */
  sequence: readonly [number, number, number];
  /** The token rules; absent: none is on. */
  rules?: SequenceRules;
  /** Tells which tokens the text's form allows next; absent: it has none. */
  allowed?: () => AllowedTokens;
}

/**
 * Chooses the tokens of one sequence.
 *
 * The steps and their order are those of transformers: what depends on earlier tokens (history-processors.ts: repetition
 * penalty, no-repeat n-gram, minimum of new tokens …); when sampling also temperature, top-k, top-p, min-p. The draw
 * inverts the cumulative distribution of the remaining tokens in id order: the first whose cumulative weight exceeds
 * floor(total · u / 2^32), where weights are integers (softmax-weights.ts) and u is Philox' word for (seed, sequence,
 * position). So the choice is a function of logits, history, parameters and these three alone, in whatever order a device
 * sums.
 */
export class Sampler {
  readonly #sampling: ResolvedSampling;
  readonly #context: Pick<SamplerContext, "vocabSize" | "sequence" | "eosTokenIds" | "allowed">;
  readonly #history: GrowingHistory;
  readonly #processors: HistoryProcessors;
  /** The logits being processed: the caller's may be shared memory that others write. */
  readonly #logits: Float32Array;
  readonly #candidates: TokenList;
  readonly #weights: Uint32Array;
  readonly #order: Int32Array;
  readonly #heap: Float32Array;

  constructor(sampling: ResolvedSampling, context: SamplerContext) {
    const { vocabSize, promptIds, eosTokenIds, minNewTokens, sequence, rules, allowed } = context;
    const { doSample, topK, topP, repetitionPenalty } = sampling;
    this.#sampling = sampling;
    this.#context = { vocabSize, sequence, eosTokenIds, allowed };
    this.#processors = new HistoryProcessors({
      repetitionPenalty,
      eosTokenIds,
      minNewTokens,
      promptLength: promptIds.length,
      rules,
    });
    this.#history = new GrowingHistory(vocabSize, this.#processors.needs);
    for (let i = 0; i < promptIds.length; i++) {
      this.#history.push(promptIds[i] ?? 0);
    }

    // The scratch of all tokens is allocated here, once. Plain greedy decoding needs none.
    this.#logits = new Float32Array(this.#isFiltered || doSample ? vocabSize : 0);
    this.#candidates = { ids: new Int32Array(doSample ? vocabSize : 0), size: 0 };
    this.#weights = new Uint32Array(doSample ? vocabSize : 0);
    this.#order = new Int32Array(doSample && topP < 1 ? vocabSize : 0);
    this.#heap = new Float32Array(doSample ? Math.min(topK, vocabSize) : 0);
  }

  /**
   * The next token.
   *
   * @param logits f32 [vocabSize]; read once, not written
   * @param position index of the token being chosen, counted from the start of the prompt
   * @throws ModelComposeError when a logit is NaN or +Infinity, or when no token remains
   */
  choose(logits: Float32Array, position: number): number {
    this.#checkLength(logits);
    const { doSample, seed } = this.#sampling;
    if (!doSample) {
      return this.#mostLikely(this.#processed(logits), position);
    }
    const highest = this.#filter(logits, position);
    const total = weigh(this.#logits, highest, this.#candidates, this.#weights);
    const target = scaleByFraction(total, uniform(seed, position, this.#context.sequence));
    return pick(this.#candidates, this.#weights, target);
  }

  /** Adds a token to the history: the chosen one, or another that the caller puts in its place. */
  accept(token: number): void {
    if (!Number.isInteger(token) || token < 0 || token >= this.#context.vocabSize) {
      throw new ModelComposeError(
        "invalid-argument",
        `A token id must be an integer in 0 .. ${this.#context.vocabSize - 1}; found ${token}.`,
      );
    }
    this.#history.push(token);
  }

  /**
   * What `choose` chooses from: the processed logits, -Infinity for tokens that are out of the choice. (Of a greedy
   * sampler these are the logits after penalties and bans.)
   *
   * @returns f32 [vocabSize], the caller's own
   */
  process(logits: Float32Array, position: number): Float32Array {
    this.#checkLength(logits);
    if (!this.#sampling.doSample) {
      return Float32Array.from(this.#processed(logits));
    }
    this.#filter(logits, position);
    const processed = new Float32Array(logits.length).fill(-Infinity);
    for (const token of this.#candidates.ids.subarray(0, this.#candidates.size)) {
      processed[token] = this.#logits[token] ?? 0;
    }
    return processed;
  }

  #checkLength(logits: Float32Array): void {
    const { vocabSize } = this.#context;
    if (logits.length === vocabSize) {
      return;
    }
    throw new ModelComposeError(
      "invalid-argument",
      `The sampler expects ${vocabSize} logits, one for each token of the vocabulary; found ${logits.length}.`,
    );
  }

  /** The logits as history leaves them: the given ones, or `#logits` where processors of history change them. */
  #processed(logits: Float32Array): Float32Array {
    if (!this.#isFiltered) {
      return logits;
    }
    this.#apply(logits);
    return this.#logits;
  }

  get #isFiltered(): boolean {
    return this.#processors.mayChange || this.#context.allowed !== undefined;
  }

  /** Writes the logits as history and the text's form leave them to `#logits`. */
  #apply(logits: Float32Array): void {
    this.#logits.set(logits);
    this.#processors.apply(this.#logits, this.#history);
    const { allowed, eosTokenIds } = this.#context;
    if (allowed === undefined) {
      return;
    }
    const tokens = allowed();
    if (!keepAllowed(this.#logits, tokens, eosTokenIds)) {
      // Rules of history forbid all that the form allows: the form goes before them.
      this.#logits.set(logits);
      keepAllowed(this.#logits, tokens, eosTokenIds);
    }
  }

  /** Leaves the processed logits in `#logits` and the tokens to draw from in `#candidates`; returns the highest logit. */
  #filter(logits: Float32Array, position: number): number {
    const { temperature, topK, topP, minP } = this.#sampling;
    const processed = this.#logits;
    this.#apply(logits);
    applyTemperature(processed, temperature);
    const highest = processed[this.#mostLikely(processed, position)] ?? 0;
    if (topK > 0) {
      keepTopK(processed, this.#heap, this.#candidates);
    } else {
      keepFinite(processed, this.#candidates);
    }
    if (topP < 1) {
      const total = weigh(processed, highest, this.#candidates, this.#weights);
      keepNucleus(processed, this.#weights, total, topP, this.#order, this.#candidates);
    }
    if (minP > 0) {
      keepMinP(processed, highest, minP, this.#candidates);
    }
    return highest;
  }

  #mostLikely(processed: Float32Array, position: number): number {
    const token = argmax(processed);
    const logit = token === -1 ? -Infinity : (processed[token] ?? 0);
    if (!Number.isFinite(logit)) {
      throw unusableMaximum({ token, logit, position }, processed.length, this.#sampling);
    }
    return token;
  }
}
