/** The vocabulary of generation: what a caller may ask for and what comes back. */

/** How tokens are chosen from logits. Formulas and order are those of transformers' logits processors. */
export interface SamplingOptions {
  /** Draw from the distribution (true) or take the most likely token (false). */
  doSample?: boolean;
  /** Divides the logits; 0 means greedy. Range: >= 0. */
  temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. Integer >= 0. */
  topK?: number;
  /** Nucleus sampling (Holtzman et al. 2019): keep the smallest set whose probability reaches p. 0 < p <= 1. */
  topP?: number;
  /** Keep tokens at least this fraction as likely as the most likely one. 0 <= p <= 1. */
  minP?: number;
  /** CTRL's penalty (Keskar et al. 2019) on tokens already present, prompt included; 1 is off. Range: > 0. */
  repetitionPenalty?: number;
  /** What the logit of a token loses for each time that it is in the new text; 0 is off. Range: -2 .. 2. */
  frequencyPenalty?: number;
  /** What the logit of a token loses when it is in the new text; 0 is off. Range: -2 .. 2. */
  presencePenalty?: number;
  /** Numbers that are added to the logit of the last of some token ids wherever the others came right before it. */
  sequenceBias?: readonly (readonly [ids: readonly number[], bias: number])[];
  /** No n-gram of this size appears twice, prompt included (of a decoder alone); 0 is off. Integer in 0 .. 100. */
  noRepeatNgramSize?: number;
  /** No n-gram of this size in the prompt appears in the new text; 0 is off. Integer in 0 .. 100. */
  encoderNoRepeatNgramSize?: number;
  /** Key of the counter-based random generator: same seed, same text. Integer in 0 .. 2^53 - 1. */
  seed?: number;
}

/** What the new text must be. At most one of them; a text that the token limit cuts is the beginning of such a text. */
export interface ConstraintOptions {
  /**
   * The text is JSON that this JSON schema (draft 2020-12) accepts, on one line. A keyword that cannot be enforced is an
   * "unsupported" error that names it and its place.
   */
  jsonSchema?: Readonly<Record<string, unknown>> | boolean;
  /** The text is a JSON object. */
  jsonObject?: boolean;
  /** The text is one that this regular expression (of ECMAScript, with the flag "u") matches from end to end. */
  regex?: string;
  /** The text is one of these. */
  choice?: readonly string[];
}

/** What a generation may be told. What is left out is as the model's generation_config.json says. */
export interface GenerateOptions extends SamplingOptions, ConstraintOptions {
  /**
   * Tells how likely the model found each token that was chosen, and this many of the most likely ones in its place. Integer
   * in 0 .. 20; not with a beam search.
   */
  logprobs?: number;
  /**
   * Upper bound on new tokens. Integer >= 1, or Infinity: as many as the context holds. Default: what generation_config
   * says, else Infinity.
   */
  maxNewTokens?: number;
  /** No end-of-sequence token before this many new tokens. Integer >= 0. */
  minNewTokens?: number;
  /**
   * Upper bound on all tokens of a sequence: prompt and new ones; of an encoder–decoder the decoder's, its start token
   * among them. `maxNewTokens` goes before it. Integer >= 1.
   */
  maxLength?: number;
  /** No end-of-sequence token in a sequence, counted as for `maxLength`, shorter than this. Integer >= 0. */
  minLength?: number;
  /**
   * Beam search over this many sequences at once (with `doSample`, beam sampling); 1 is off. At most what the model was
   * loaded for (LoadOptions.maxBeams). Nothing is known of the text before the end: a stream has one piece. Integer >= 1.
   */
  numBeams?: number;
  /**
   * In a beam search a finished sequence of n new tokens scores log-probability / n^lengthPenalty. Above 0 favours long
   * sequences, below 0 short ones. -7 .. 7. Default 1.
   */
  lengthPenalty?: number;
  /**
   * When a beam search ends, once it has `numBeams` finished sequences. true: at once. false (default): when the best
   * running one, were it to end now, would not be better than the worst of them. "never": when it could not become better.
   */
  earlyStopping?: boolean | "never";
  /** The best sequences of a beam search, in the result's `sequences`. Integer in 1 .. numBeams. Default 1. */
  numReturnSequences?: number;
  /** The token that a sequence has after its first; null: none, also where generation_config names one. */
  forcedBosTokenId?: number | null;
  /** The last token of a sequence that reaches its bound; null: none, also where generation_config names one. */
  forcedEosTokenId?: number | readonly number[] | null;
  /** Keep only the last this many prompt tokens (with a warning). Integer >= 1. */
  maxPromptTokens?: number;
  /**
   * Generation ends before the first of these strings in the new text; in a beam search each sequence does. Default:
   * what generation_config says.
   */
  stop?: string | readonly string[];
  /** Go on past end-of-sequence tokens, and force none. */
  ignoreEos?: boolean;
  /** `text` of the result begins with the prompt. Default true; an encoder–decoder answers without it. */
  returnFullText?: boolean;
  /**
   * Whether the prompt may go on from one that begins alike, of a generation before or beside it. Default true. On a GPU the text
   * may differ then where two tokens are as good as equally likely: what was chosen is added up in another order than what is
   * read.
   */
  cachePrompt?: boolean;
  /**
   * Whether tokens may be drafted from the prompt and the text so far, which the CPU does where it measures that it gains by it:
   * drafts that are right save passes over the weights, and no text is changed by them. Default true.
   */
  promptLookup?: boolean;
  /** Words 1..3 of the random generator's counter: which sequence of a larger job this is. Default [0, 0, 0]. */
  sequence?: readonly [number, number, number];
  /** Ends the generation at the next token; the call rejects with an AbortError. */
  signal?: AbortSignal;
  /** Called while a prompt is being processed, at most a few times a second. */
  onPrefill?: (progress: { done: number; total: number }) => void;
}

/** Why a sequence ended. */
export type FinishReason =
  | "eos" // an end-of-sequence token
  | "length" // maxNewTokens reached
  | "context" // the context is full
  | "stop"; // a stop string

/** How likely the model found a token, before temperature, penalties and all other rules of choosing. */
export interface TokenProbability {
  /** Its id. */
  token: number;
  /** Its text alone; bytes that are no whole character become U+FFFD. */
  text: string;
  /** Its bytes in UTF-8. */
  bytes: number[];
  /** The natural logarithm of its probability. */
  logprob: number;
}

/** A chosen token, with the most likely ones in its place, the likeliest first. */
export interface TokenLogprob extends TokenProbability {
  /** The most likely tokens in its place, the likeliest first. */
  top: TokenProbability[];
}

/** What a generation took, in tokens. */
export interface Usage {
  /** Number of tokens of the prompt. */
  promptTokens: number;
  /** Those of the prompt that did not have to be read, since an earlier prompt began alike. Absent: none. */
  cachedTokens?: number;
  /** Number of new tokens of all sequences that are returned. */
  completionTokens: number;
}

/** Wall-clock figures of one generation, in seconds and tokens per second. */
export interface Timings {
  /**
   * Seconds from the start of work on this request (not of waiting for its turn) to the first token, which a beam
   * search knows at the end only.
   */
  timeToFirstTokenSeconds: number;
  /** Seconds in which the prompt was read. */
  prefillSeconds: number;
  /** Seconds from the first token to the last. */
  decodeSeconds: number;
  /** Tokens of the prompt per second. */
  prefillTokensPerSecond: number;
  /** Tokens per second after the first token; 0 when there was only one. */
  decodeTokensPerSecond: number;
}

/** What was generated. */
export interface GeneratedSequence {
  /**
   * The prompt followed by the new text (only the new text with `returnFullText: false`, and of an encoder–decoder).
   */
  text: string;
  /** The text behind the prompt. */
  newText: string;
  /** The new token ids only. */
  tokens: number[];
  /** Why it ended. */
  finishReason: FinishReason;
  /** The stop string that was found, with the finish reason "stop"; a beam search does not tell it. */
  stopString?: string;
  /** The tokens with their log-probabilities, where `logprobs` asks for them. */
  logprobs?: TokenLogprob[];
}

/** A sequence that a beam search found. */
export interface BeamSequence extends GeneratedSequence {
  /** Its log-probability, after logits processors, over its length to the power of the length penalty. */
  score: number;
}

/** The result of a generation: its sequence, or the best of several, with figures. */
export interface GenerateResult extends GeneratedSequence {
  /**
   * The `numReturnSequences` best sequences of a beam search, best first; the result itself is the first. Absent
   * without a beam search.
   */
  sequences?: BeamSequence[];
  /** What it took, in tokens. */
  usage: Usage;
  /** How long it took. */
  timings: Timings;
  /** The seed that was used, also when it was drawn. Absent where tokens were not drawn: no seed has a part in them. */
  seed?: number;
  /** What the caller should know, in sentences: a prompt that was cut, a limit that was lowered. */
  warnings: string[];
}

/** A piece of a stream. Texts of all pieces joined give `newText`. The last piece has `result`. */
export interface StreamPart {
  /** The new text; it never ends within a character. */
  text: string;
  /** Token ids that this piece completes; a piece may complete none or several. */
  tokens: number[];
  /** Log-probabilities of these tokens, where `logprobs` asks for them. */
  logprobs?: TokenLogprob[];
  /** The seed of tokens that are drawn, with the first piece: who is interrupted can have the same text again. */
  seed?: number;
  /** All of the generation, with the last piece. */
  result?: GenerateResult;
}

/**
 * What kind of model it is. "causal": it continues the prompt. "seq2seq": an encoder reads the prompt and a decoder
 * writes an answer of its own.
 */
export type Architecture = "causal" | "seq2seq";
