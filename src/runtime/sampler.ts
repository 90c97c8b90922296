import { ModelComposeError } from "./errors.ts";
import {
  applyTemperature,
  argmax,
  banTokens,
  keepFinite,
  keepMinP,
  keepNucleus,
  keepTopK,
  penaliseRepetition,
  pick,
  weigh,
  type TokenList,
} from "./logits-processors.ts";
import { uniform } from "./philox.ts";
import type { ResolvedSampling } from "./sampling-options.ts";
import { scaleByFraction } from "./softmax-weights.ts";
import { NgramHistory, SeenTokens } from "./token-history.ts";

export interface SamplerContext {
  /** Length of the logits. */
  vocabSize: number;
  promptIds: ArrayLike<number>;
  eosTokenIds: readonly number[];
  /** End-of-sequence tokens are banned for so many new tokens. */
  minNewTokens: number;
  /** Which sequence of a larger job this is: words 1..3 of the random generator's counter. */
  sequence: readonly [number, number, number];
}

/**
 * Chooses the tokens of one sequence.
 *
 * The steps and their order are those of transformers: repetition penalty, no-repeat n-gram, minimum of new tokens;
 * when sampling also temperature, top-k, top-p, min-p. The draw inverts the cumulative distribution of the remaining
 * tokens in id order: the first whose cumulative weight exceeds floor(total · u / 2^32), where weights are integers
 * (softmax-weights.ts) and u is Philox' word for (seed, sequence, position). So the choice is a function of logits,
 * history, parameters and these three alone, in whatever order a device sums.
 */
export class Sampler {
  readonly #sampling: ResolvedSampling;
  readonly #context: Omit<SamplerContext, "promptIds">;
  readonly #seen: SeenTokens | undefined;
  readonly #ngrams: NgramHistory | undefined;
  #newTokens = 0;
  /** The logits being processed: the caller's may be shared memory that others write. */
  readonly #logits: Float32Array;
  readonly #candidates: TokenList;
  readonly #weights: Uint32Array;
  readonly #order: Int32Array;
  readonly #heap: Float32Array;

  constructor(sampling: ResolvedSampling, context: SamplerContext) {
    const { vocabSize, promptIds, eosTokenIds, minNewTokens, sequence } = context;
    const { doSample, topK, topP } = sampling;
    this.#sampling = sampling;
    this.#context = { vocabSize, eosTokenIds, minNewTokens, sequence };
    this.#seen = sampling.repetitionPenalty === 1 ? undefined : new SeenTokens(vocabSize);
    this.#ngrams =
      sampling.noRepeatNgramSize === 0 ? undefined : new NgramHistory(sampling.noRepeatNgramSize);
    for (let i = 0; i < promptIds.length; i++) this.#remember(promptIds[i] ?? 0);

    // All scratch of all tokens. Plain greedy decoding needs none.
    const readsInPlace =
      !doSample && this.#seen === undefined && this.#ngrams === undefined && minNewTokens === 0;
    this.#logits = new Float32Array(readsInPlace ? 0 : vocabSize);
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
      const processed = this.#processesHistory() ? this.#applyHistory(logits) : logits;
      return this.#mostLikely(processed, position);
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
    this.#remember(token);
    this.#newTokens++;
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
      return Float32Array.from(this.#processesHistory() ? this.#applyHistory(logits) : logits);
    }
    this.#filter(logits, position);
    const processed = new Float32Array(logits.length).fill(-Infinity);
    for (const token of this.#candidates.ids.subarray(0, this.#candidates.size)) {
      processed[token] = this.#logits[token] ?? 0;
    }
    return processed;
  }

  #remember(token: number): void {
    this.#seen?.push(token);
    this.#ngrams?.push(token);
  }

  #checkLength(logits: Float32Array): void {
    const { vocabSize } = this.#context;
    if (logits.length === vocabSize) return;
    throw new ModelComposeError(
      "invalid-argument",
      `The sampler expects ${vocabSize} logits, one for each token of the vocabulary; found ${logits.length}.`,
    );
  }

  #bansEos(): boolean {
    return this.#newTokens < this.#context.minNewTokens && this.#context.eosTokenIds.length > 0;
  }

  #processesHistory(): boolean {
    return this.#seen !== undefined || this.#ngrams !== undefined || this.#bansEos();
  }

  /** Copies the logits to `#logits` and applies the processors that depend on earlier tokens. */
  #applyHistory(logits: Float32Array): Float32Array {
    this.#logits.set(logits);
    if (this.#seen !== undefined) {
      penaliseRepetition(this.#logits, this.#seen, this.#sampling.repetitionPenalty);
    }
    if (this.#ngrams !== undefined) banTokens(this.#logits, this.#ngrams.repeats());
    if (this.#bansEos()) banTokens(this.#logits, this.#context.eosTokenIds);
    return this.#logits;
  }

  /** Leaves the processed logits in `#logits` and the tokens to draw from in `#candidates`; returns the highest logit. */
  #filter(logits: Float32Array, position: number): number {
    const { temperature, topK, topP, minP } = this.#sampling;
    const processed = this.#applyHistory(logits);
    applyTemperature(processed, temperature);
    const highest = processed[this.#mostLikely(processed, position)] ?? 0;
    if (topK > 0) keepTopK(processed, this.#heap, this.#candidates);
    else keepFinite(processed, this.#candidates);
    if (topP < 1) {
      const total = weigh(processed, highest, this.#candidates, this.#weights);
      keepNucleus(processed, this.#weights, total, topP, this.#order, this.#candidates);
    }
    if (minP > 0) keepMinP(processed, highest, minP, this.#candidates);
    return highest;
  }

  #mostLikely(processed: Float32Array, position: number): number {
    const token = argmax(processed);
    if (token === -1) {
      throw new ModelComposeError(
        "invalid-argument",
        `No token is left to choose at position ${position}: all ${processed.length} logits are -Infinity.`,
        { remedy: "Lower noRepeatNgramSize or minNewTokens, which ban tokens." },
      );
    }
    const logit = processed[token] ?? 0;
    if (Number.isFinite(logit)) return token;
    const { doSample, temperature } = this.#sampling;
    const cause = doSample && temperature < 1 ? `, after division by the temperature ${temperature}` : "";
    throw new ModelComposeError(
      "device",
      `The logit of token ${token} at position ${position} must be finite or -Infinity; found ${logit}${cause}.`,
      {
        remedy:
          cause === ""
            ? "Check the checkpoint: its weights, or what is computed from them, exceed the range of their type."
            : "Use temperature 0 for greedy decoding; otherwise check the checkpoint for damaged weights.",
      },
    );
  }
}
