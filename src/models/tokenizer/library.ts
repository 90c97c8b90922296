/**
 * The part of `@huggingface/tokenizers` that is used here, with types of our own: the library's declarations import
 * without file extensions, which TypeScript's NodeNext resolution does not follow. That they are true is what
 * `canFillSlices` and the tests are for.
 */
import * as library from "@huggingface/tokenizers";

/** Turns text into token ids, and ids into tokens. */
export interface TextTokenizer {
  /** The ids of a text. One is undefined where a token of the post-processor's template is not in the vocabulary. */
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

export interface LibraryTokenizer extends TextTokenizer {
  readonly model: unknown;
  readonly pre_tokenizer: LibraryPreTokenizer | null;
}

/** A model of byte-pair encoding with its tables. */
export interface LibraryBpe {
  /** The tokens by id. */
  vocab: (string | undefined)[];
  readonly tokens_to_ids: Map<string, number>;
  /** The rank of each merge by `mergeKey`. */
  readonly bpe_ranks: Map<string, number>;
  unk_token_id: number | undefined;
  encode(words: string[]): string[];
  /** The symbols that the merges make of a word. */
  bpe(word: string): string[];
}

/** Splits text into words and spells them in the byte-level alphabet. */
export interface LibraryByteLevel extends LibraryPreTokenizer {
  /** What matches one word. */
  pattern: RegExp;
}

/** Splits text into words. */
export interface LibraryPreTokenizer {
  /** What matches one word, or what the text is split at. */
  pattern?: RegExp | null;
  /** The steps of a sequence. */
  readonly tokenizers?: readonly (LibraryPreTokenizer | null)[];
  pre_tokenize_text: (text: string, options?: object) => string[];
}

/** A step of a decoder: changes a list of tokens. */
export interface LibraryDecoder {
  decode_chain(tokens: string[]): string[];
}

interface Library {
  /** Takes the contents of tokenizer.json and of tokenizer_config.json. */
  Tokenizer: new (tokenizer: object, config: object) => LibraryTokenizer;
  /** Takes `model` of tokenizer.json. */
  BPE: new (model: object) => LibraryBpe;
  ByteLevelPreTokenizer: new (config: object) => LibraryByteLevel;
  SequencePreTokenizer: new (config: object) => LibraryPreTokenizer;
  ReplaceDecoder: new (config: object) => LibraryDecoder;
  StripDecoder: new (config: object) => LibraryDecoder;
}

export const { Tokenizer, BPE, ByteLevelPreTokenizer, SequencePreTokenizer, ReplaceDecoder, StripDecoder } =
  library as unknown as Library;
