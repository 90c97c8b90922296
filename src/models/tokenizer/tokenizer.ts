/** Turns text into token ids and back, with the tokenizer that a model was trained with. */
import { join } from "node:path";
import { runAtOnce, runInSlices } from "../../base/async/slices.ts";
import { ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import { describeJson } from "../../base/json.ts";
import { isFile } from "../../runtime/platform/files.ts";
import { MERGES_FILE, TOKENIZER_FILE, VOCABULARY_FILE, VOCABULARY_FILES } from "../model-files.ts";
import { bytesOfToken, PlannedDecoder } from "./incremental-decoder.ts";
import type { IncrementalDecoder, IncrementalDecoderOptions, TokenTable } from "./incremental-decoder.ts";
import { VocabularyError } from "./bpe.ts";
import { buildTokenizer, type BuiltTokenizer } from "./build.ts";
import { readConfigFiles, type ConfigFiles } from "./config-files.ts";
import { corrupt } from "./definition.ts";
import { sourceFile, type DefinitionSource } from "./definition-source.ts";
import { readDefinition } from "./read-definition.ts";
import { readAdditions } from "./read-additions.ts";
import { readVocabularySource } from "./vocabulary-class.ts";

export type { IncrementalDecoder, IncrementalDecoderOptions } from "./incremental-decoder.ts";

/** How a text is encoded. */
export interface EncodeOptions {
  /** Whether to add what the model expects around a text, as a begin-of-text token. Default true. */
  addSpecialTokens?: boolean;
}

/** What encoding in slices may be told. */
export interface EncodeAsyncOptions extends EncodeOptions {
  /** Ends encoding with an AbortError. */
  signal?: AbortSignal;
  /**
   * Whoever has no use for more than this many ids saves the time for them: as soon as there are more, encoding ends with
   * those that there are. Default: all of them.
   */
  most?: number;
}

/** The tokenizer of a model. */
export interface Tokenizer {
  /**
   * The token ids of a text. Text that spells an added or special token (such as `<|im_start|>`) becomes that token,
   * as with transformers: who puts a stranger's text into a prompt must remove such spellings. Half of a surrogate
   * pair is encoded as U+FFFD.
   * The time that it takes grows with the text and with nothing else: about 0.3 s for a megabyte.
   *
   * @throws ModelComposeError `invalid-input` for what is no string, `invalid-config` for a tokenizer that is corrupt.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Does what `encode` does in slices of some milliseconds, between which the event loop turns: for texts whose length
   * others decide.
   *
   * @throws ModelComposeError as `encode`; AbortError
   */
  encodeAsync(text: string, options?: EncodeAsyncOptions): Promise<number[]>;
  /**
   * The text of a sequence from its beginning. It is not tidied: `clean_up_tokenization_spaces` of
   * tokenizer_config.json is ignored, as in transformers 5, because it removes spaces that belong to the text (only
   * BlenderbotSmallTokenizer, which puts spaces before punctuation, follows it).
   *
   * @param options.skipSpecialTokens Whether special tokens are left out. Default true.
   * @throws ModelComposeError `invalid-argument` for an id that is neither a token's nor, by config.json, the model's.
   *   Ids that the model has beyond the tokens have no text.
   */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** One more than the highest token id. A model's logits may be more: rows that were added for alignment. */
  readonly vocabSize: number;
  /** The ids of the tokens that `skipSpecialTokens` leaves out. */
  readonly specialTokenIds: ReadonlySet<number>;
  /** The id of a token as the vocabulary writes it, for example "<|im_end|>" or "Ġthe"; undefined without one. */
  idOf(token: string): number | undefined;
  /**
   * The bytes, in UTF-8, that a token adds to a text that follows a prompt; undefined for a special token and an id without
   * one.
   *
   * @throws ModelComposeError "unsupported" for a tokenizer whose text changes where tokens meet
   */
  tokenBytes(id: number): Uint8Array | undefined;
  /** A decoder that goes token by token; by default of what follows a prompt. */
  incrementalDecoder(options?: IncrementalDecoderOptions): IncrementalDecoder;
}

/** Whether a model folder has a tokenizer: tokenizer.json, or vocab.json with merges.txt. */
export async function hasTokenizer(directory: string): Promise<boolean> {
  const has = (name: string): Promise<boolean> => isFile(join(directory, name));
  return (await has(TOKENIZER_FILE)) || (await Promise.all(VOCABULARY_FILES.map(has))).every(Boolean);
}

/**
 * Loads the tokenizer of a model folder: tokenizer.json (byte-pair encoding or Unigram), and the names of special tokens from
 * tokenizer_config.json and special_tokens_map.json where they are present. Without tokenizer.json, vocab.json and
 * merges.txt are read as transformers' class does that tokenizer_config.json names, or config.json by its class or
 * model type. Large files are parsed in a worker thread and taken in slice by slice, so the event loop goes on turning.
 *
 * @throws ModelComposeError `not-found` without these files, `invalid-config` for a corrupt one, `unsupported` for
 *   another kind of tokenizer; AbortError.
 */
export async function loadTokenizer(
  directory: string,
  options: { signal?: AbortSignal } = {},
): Promise<Tokenizer> {
  const { signal } = options;
  throwIfAborted(signal);
  const config = await readConfigFiles(directory);
  const source = await findSource(directory, config);
  const file = sourceFile(source);
  const built = await buildTokenizer(readDefinition(source, signal), file);
  throwIfAborted(signal);
  return new LoadedTokenizer(built, file, modelVocabSize(config));
}

async function findSource(directory: string, config: ConfigFiles): Promise<DefinitionSource> {
  const file = join(directory, TOKENIZER_FILE);
  if (await isFile(file)) {
    return { kind: "tokenizer.json", file, additions: await readAdditions(directory, config) };
  }
  if (await hasTokenizer(directory)) {
    return readVocabularySource(directory, config);
  }
  throw new ModelComposeError(
    "not-found",
    `"${directory}" has no tokenizer: ${TOKENIZER_FILE} is missing, and ${VOCABULARY_FILE} with ${MERGES_FILE} too.`,
    { remedy: "Add the files of the model, or give the model token ids instead of text." },
  );
}

/** How many ids the model has, 0 where config.json does not say it; what else it says is the model reader's concern. */
function modelVocabSize({ model }: ConfigFiles): number {
  const { vocab_size: size } = model.values;
  return typeof size === "number" && Number.isInteger(size) ? size : 0;
}

class LoadedTokenizer implements Tokenizer, TokenTable {
  readonly vocabSize: number;
  readonly specialTokenIds: ReadonlySet<number>;
  readonly #built: BuiltTokenizer;
  readonly #file: string;
  /** One more than the model's highest id; those below it without a token have no text. */
  readonly #idLimit: number;

  constructor(built: BuiltTokenizer, file: string, modelVocabSize: number) {
    const { addedTokens, vocabSize } = built;
    this.vocabSize = vocabSize;
    this.specialTokenIds = new Set(addedTokens.filter((token) => token.special).map((token) => token.id));
    this.#built = built;
    this.#file = file;
    this.#idLimit = Math.max(vocabSize, modelVocabSize);
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    try {
      return runAtOnce(this.#encoding(text, addSpecialTokens, Infinity));
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async encodeAsync(text: string, options: EncodeAsyncOptions = {}): Promise<number[]> {
    const { addSpecialTokens = true, most = Infinity, signal } = options;
    try {
      return await runInSlices(this.#encoding(text, addSpecialTokens, most), signal);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #encoding(text: unknown, addSpecialTokens: boolean, most: number): Generator<undefined, number[]> {
    if (typeof text !== "string") {
      throw new ModelComposeError(
        "invalid-input",
        `The text to encode is ${describeJson(text)}; expected a string.`,
      );
    }
    return this.#built.encoder.encode(text.toWellFormed(), { addSpecialTokens, most });
  }

  /** What is wrong with a definition or a text that shows only when the text is encoded. */
  #failure(error: unknown): unknown {
    if (error instanceof VocabularyError) {
      return corrupt(this.#file, error.message, error);
    }
    // The engine has no text of more than half a gigabyte, which what the normalizer makes may be.
    return error instanceof RangeError
      ? new ModelComposeError("invalid-input", `The text is too long for the tokenizer: ${error.message}.`, {
          remedy: "Shorten it.",
          cause: error,
        })
      : error;
  }

  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const decoder = this.incrementalDecoder({ ...options, afterPrompt: false });
    let text = "";
    for (const id of ids) {
      text += decoder.push(id);
    }
    return text + decoder.finish();
  }

  idOf(token: string): number | undefined {
    return this.#built.idOf(token);
  }

  tokenBytes(id: number): Uint8Array | undefined {
    const token = id < this.#idLimit ? this.lookup(id) : undefined;
    return token === undefined || token.special ? undefined : bytesOfToken(this.#built.plan, token.text);
  }

  incrementalDecoder(options?: IncrementalDecoderOptions): IncrementalDecoder {
    return new PlannedDecoder(this.#built.plan, this, options);
  }

  lookup(id: number): ReturnType<TokenTable["lookup"]> {
    if (!Number.isInteger(id) || id < 0 || id >= this.#idLimit) {
      throw new ModelComposeError(
        "invalid-argument",
        `Token id ${id} is not in the vocabulary; expected an integer from 0 to ${this.#idLimit - 1}.`,
        { remedy: "Decode ids of this model only." },
      );
    }
    const text = this.#built.tokens[id];
    if (text === undefined) {
      return undefined;
    }
    return { text, special: this.specialTokenIds.has(id) };
  }
}
