/**
 * What a tokenizer is made of, in a form that travels well between threads: the small part as it is, the vocabulary
 * (17 MB of file for SmolLM3) in slices, merges or scored pieces as arrays of numbers. The form is that of tokenizer.json, the format of
 * Hugging Face's tokenizers library, which is parsed here; vocabulary-files.ts makes the same of the files that came
 * before it.
 */
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { ModelComposeError, type ErrorCode } from "../../base/errors.ts";
import { AddedVocabulary, type AddedToken, type TokenFlags } from "./added-vocabulary.ts";
import type { BpeOptions } from "./bpe.ts";
import { jsonFault } from "./json-fault.ts";
import { MergesBuilder, type Merges } from "./merges.ts";
import { pieceTrie, type PieceTrie } from "./piece-trie.ts";
import { addTokens, type TokenAdditions } from "./token-additions.ts";
import type { UnigramOptions } from "./unigram.ts";

/** How many tokens a slice has: about two milliseconds of work for the thread that takes it in. */
const SLICE_LENGTH = 4096;

/**
 * Ids are below this. The largest vocabularies that are published have 262,144 tokens; tables by id of this size still
 * take little memory.
 */
export const MOST_IDS = 2 ** 22;

/** Merges that are read; vocabularies have fewer than tokens. */
const MOST_MERGES = MOST_IDS;

/** Code units of an added token; a longer one would make finding tokens in a text slow. */
const MOST_ADDED_LENGTH = 1024;

/** The parts of tokenizer.json that say what happens to a text, unread; null where there is none. */
export interface Pipeline {
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
}

/** How text becomes tokens and tokens text: by the pipeline, or by a class of our own beside it. */
export type Scheme = { kind: "tokenizers" } | { kind: "blenderbot-small"; cleanUpSpaces: boolean };

/** All of a tokenizer but its tables. */
export interface TokenizerHeader {
  pipeline: Pipeline;
  model: BpeOptions | UnigramOptions;
  addedTokens: AddedToken[];
  /** Whether text that spells a special token is ordinary text. */
  splitsSpecialTokens: boolean;
  /** One more than the highest id. */
  vocabSize: number;
  scheme: Scheme;
}

/** What the model of a tokenizer goes by. */
export type ModelTable = { kind: "merges"; merges: Merges } | { kind: "pieces"; pieces: PieceTrie };

/** A part of a definition: first the header, then the model's table, then slices of the vocabulary. */
export type DefinitionPart =
  | { kind: "header"; header: TokenizerHeader }
  | ModelTable
  | { kind: "tokens"; tokens: string[]; ids: number[] };

/** A whole definition, before it is cut into parts. */
export interface Definition extends Omit<TokenizerHeader, "vocabSize"> {
  vocabulary: ReadonlyMap<string, number>;
  /** The tokens by id, where several ids may have one; absent: `vocabulary` has all. */
  listed?: readonly string[];
  table: ModelTable;
}

/**
 * Parses the bytes of a tokenizer.json with a BPE or a Unigram model.
 *
 * @param file The path of the file, which errors name.
 * @param additions What the files beside it say of tokens.
 * @returns The header first, then the rest.
 * @throws ModelComposeError `invalid-config` when it is corrupt, `unsupported` for what exists but is not done here.
 */
export function* parseDefinition(
  bytes: Uint8Array,
  file: string,
  additions: TokenAdditions,
): Generator<DefinitionPart, void, undefined> {
  const json = parseJson(bytes, file);
  const { version = "1.0", model } = json;
  if (version !== "1.0") {
    throw corrupt(file, `has ${describeJson(version)} as "version"; expected "1.0"`);
  }
  if (!isJsonObject(model)) {
    throw corrupt(file, `has ${describeJson(model)} as "model"; expected an object`);
  }
  const read = typeOf(model, file) === "Unigram" ? readUnigram(model, file) : readBpe(model, file);
  const { vocabulary } = read;
  const added = new AddedVocabulary(vocabulary);
  const given = readAddedTokens(json.added_tokens, file);
  added.add(given.map(({ token }) => token));
  for (const { id, token } of given) {
    const assigned = added.idOf(token.content);
    if (id !== assigned) {
      throw corrupt(
        file,
        `gives the added token ${describeJson(token.content)} the id ${id}; by its vocabulary and the tokens before ` +
          `it, it is ${String(assigned)}`,
      );
    }
  }
  addTokens(added, additions);
  const addedTokens = added.tokens();
  checkIds(addedTokens, vocabulary, file);
  const { normalizer, pre_tokenizer, post_processor, decoder } = json;
  yield* definitionParts({
    pipeline: { normalizer, pre_tokenizer, post_processor, decoder },
    ...read,
    addedTokens,
    splitsSpecialTokens: additions.splitsSpecialTokens,
    scheme: { kind: "tokenizers" },
  });
}

/** The model of a definition. */
type ReadModel = Pick<Definition, "model" | "vocabulary" | "listed" | "table">;

function readBpe(model: JsonObject, file: string): ReadModel {
  const options = readOptions(model, file);
  if (!isJsonObject(model.vocab)) {
    throw corrupt(file, `has ${describeJson(model.vocab)} as "model.vocab"; expected an object`);
  }
  const vocabulary = readVocabulary(model.vocab, file);
  const merges = readMerges(model.merges, vocabulary, options.continuingPrefix, file);
  return { model: options, vocabulary, table: { kind: "merges", merges } };
}

function readUnigram(model: JsonObject, file: string): ReadModel {
  const { vocab, unk_id: unknownId = null, byte_fallback: byteFallback = false } = model;
  if (!Array.isArray(vocab) || vocab.length > MOST_IDS) {
    throw corrupt(
      file,
      `has ${describeJson(vocab)} as "model.vocab"; expected a list of at most ${MOST_IDS} pieces with scores`,
    );
  }
  const listed: string[] = [];
  const scores = new Float64Array(vocab.length);
  const vocabulary = new Map<string, number>();
  vocab.forEach((entry: unknown, id) => {
    const [piece, score, ...rest] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof piece !== "string" || typeof score !== "number" || rest.length > 0 || !piece.isWellFormed()) {
      throw corrupt(file, `has ${describeJson(entry)} as piece ${id}; expected a text and its score`);
    }
    if (piece.length > MOST_ADDED_LENGTH) {
      throw unsupported(
        file,
        `has a piece of ${piece.length} characters (${id}); supported are ${MOST_ADDED_LENGTH}`,
      );
    }
    listed.push(piece);
    scores[id] = score;
    // Of equal pieces the last counts.
    vocabulary.set(piece, id);
  });
  if (unknownId !== null && !(isTokenId(unknownId) && unknownId < vocab.length)) {
    throw corrupt(
      file,
      `has ${describeJson(unknownId)} as "model.unk_id"; expected the id of one of ${vocab.length} pieces, or null`,
    );
  }
  if (typeof byteFallback !== "boolean") {
    throw corrupt(file, `has ${describeJson(byteFallback)} as "model.byte_fallback"; expected a boolean`);
  }
  return {
    model: { kind: "unigram", unknownId: unknownId ?? undefined, byteFallback },
    vocabulary,
    listed,
    table: { kind: "pieces", pieces: pieceTrie(listed, scores) },
  };
}

/** Cuts a definition into its header and slices. */
export function* definitionParts(definition: Definition): Generator<DefinitionPart, void, undefined> {
  const { vocabulary, listed, table, ...header } = definition;
  let vocabSize = listed?.length ?? 0;
  for (const id of vocabulary.values()) {
    vocabSize = Math.max(vocabSize, id + 1);
  }
  for (const { id } of header.addedTokens) {
    vocabSize = Math.max(vocabSize, id + 1);
  }
  yield { kind: "header", header: { ...header, vocabSize } };
  yield table;
  const tokens = listed ?? [...vocabulary.keys()];
  const ids = listed === undefined ? [...vocabulary.values()] : [...listed.keys()];
  for (let i = 0; i < tokens.length; i += SLICE_LENGTH) {
    yield { kind: "tokens", tokens: tokens.slice(i, i + SLICE_LENGTH), ids: ids.slice(i, i + SLICE_LENGTH) };
  }
}

/** Parses bytes that must hold a JSON object. A token may be any key, so keys are not checked here. */
export function parseJson(bytes: Uint8Array, file: string): JsonObject {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw corrupt(file, "is not valid UTF-8", error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw corrupt(file, `is not valid JSON: ${jsonFault(text, error)}`, error);
  }
  if (!isJsonObject(value)) {
    throw corrupt(file, `holds ${describeJson(value)}; expected a JSON object`);
  }
  return value;
}

function typeOf(model: JsonObject, file: string): "BPE" | "Unigram" {
  // Files from before the field was introduced have no type; only BPE has merges.
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (type === undefined) {
    throw corrupt(file, `has a "model" without "type"`);
  }
  if (type !== "BPE" && type !== "Unigram") {
    throw unsupported(
      file,
      `has a model of type ${describeJson(type)}; only "BPE" and "Unigram" are supported`,
    );
  }
  return type;
}

function readOptions(model: JsonObject, file: string): BpeOptions {
  const read = <T>(key: string, byDefault: T, kind: "string" | "boolean" | "number"): T => {
    const value = model[key];
    if (value === undefined || value === null) {
      return byDefault;
    }
    if (typeof value !== kind) {
      throw corrupt(file, `has ${describeJson(value)} as "model.${key}"; expected a ${kind}, or null`);
    }
    return value as T;
  };
  const dropout = read<number>("dropout", 0, "number");
  if (dropout !== 0) {
    throw unsupported(file, `sets model.dropout (${dropout}): the same text would give different tokens`);
  }
  return {
    unknownToken: read<string | undefined>("unk_token", undefined, "string"),
    fuseUnknown: read("fuse_unk", false, "boolean"),
    byteFallback: read("byte_fallback", false, "boolean"),
    ignoreMerges: read("ignore_merges", false, "boolean"),
    continuingPrefix: read("continuing_subword_prefix", "", "string"),
    endSuffix: read("end_of_word_suffix", "", "string"),
  };
}

/** Reads the tokens and their ids. */
export function readVocabulary(vocab: JsonObject, file: string): Map<string, number> {
  const vocabulary = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const token in vocab) {
    const id = vocab[token];
    if (!isTokenId(id)) {
      throw corrupt(
        file,
        `gives the token ${describeJson(token)} the id ${describeJson(id)}; expected an integer from 0 to ${MOST_IDS - 1}`,
      );
    }
    const other = tokens[id];
    if (other !== undefined) {
      throw corrupt(
        file,
        `gives the id ${id} to two tokens, ${describeJson(other)} and ${describeJson(token)}`,
      );
    }
    tokens[id] = token;
    vocabulary.set(token, id);
  }
  return vocabulary;
}

/** Reads the merges in both spellings: ["a", "b"] and the older "a b". */
function readMerges(
  merges: unknown,
  vocabulary: ReadonlyMap<string, number>,
  prefix: string,
  file: string,
): Merges {
  if (!Array.isArray(merges)) {
    throw corrupt(file, `has ${describeJson(merges)} as "model.merges"; expected a list`);
  }
  if (merges.length > MOST_MERGES) {
    throw corrupt(file, `has ${merges.length} merges; expected ${MOST_MERGES} at most`);
  }
  const builder = new MergesBuilder(merges.length);
  merges.forEach((merge: unknown, rank) => {
    const parts: unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== "string" || typeof right !== "string") {
      throw corrupt(file, `has ${describeJson(merge)} as merge ${rank}; expected two tokens`);
    }
    const result = left + right.slice(prefix.length);
    const ids = [left, right, result].map((token) => vocabulary.get(token));
    const missing = ids.indexOf(undefined);
    if (missing >= 0) {
      const token = [left, right, result][missing];
      throw corrupt(
        file,
        missing === 2
          ? `merges to ${describeJson(token)} (merge ${rank}), which is not in its vocabulary`
          : `merges ${describeJson(token)} (merge ${rank}), which is not in its vocabulary`,
      );
    }
    builder.add(ids[0] ?? 0, ids[1] ?? 0, ids[2] ?? 0, result);
  });
  return builder.finish();
}

function readAddedTokens(added: unknown, file: string): { id: number; token: TokenFlags }[] {
  if (added === undefined || added === null) {
    return [];
  }
  if (!Array.isArray(added)) {
    throw corrupt(file, `has ${describeJson(added)} as "added_tokens"; expected a list`);
  }
  return added.map((token: unknown) => {
    if (!isJsonObject(token) || !isTokenId(token.id)) {
      throw corrupt(
        file,
        `has the added token ${describeJson(token)}; expected an object with "id" and "content"`,
      );
    }
    return { id: token.id, token: readTokenFlags(token, file, "added_tokens") };
  });
}

/**
 * Reads a token with its flags.
 *
 * @param key where it stands, for errors
 */
export function readTokenFlags(token: JsonObject, file: string, key: string): TokenFlags {
  const { content } = token;
  if (typeof content !== "string" || content === "" || content.length > MOST_ADDED_LENGTH) {
    throw corrupt(
      file,
      `has the added token ${describeJson(token)} in "${key}"; expected an object whose "content" is a text of 1 to ` +
        `${MOST_ADDED_LENGTH} characters`,
    );
  }
  const flag = (name: string, byDefault: boolean): boolean => {
    const value = token[name] ?? byDefault;
    if (typeof value !== "boolean") {
      throw corrupt(
        file,
        `has ${describeJson(value)} as "${name}" of the token ${describeJson(content)} in "${key}"; expected true or false`,
      );
    }
    return value;
  };
  const special = flag("special", false);
  return {
    content,
    special,
    normalized: flag("normalized", !special),
    lstrip: flag("lstrip", false),
    rstrip: flag("rstrip", false),
    singleWord: flag("single_word", false),
  };
}

/** Refuses an id of two tokens. */
function checkIds(added: readonly AddedToken[], vocabulary: ReadonlyMap<string, number>, file: string): void {
  const contents = new Map(added.map(({ id, content }) => [id, content]));
  for (const [token, id] of vocabulary) {
    const content = contents.get(id);
    if (content !== undefined && content !== token) {
      throw corrupt(
        file,
        `gives the id ${id} to two tokens, ${describeJson(token)} and ${describeJson(content)}`,
      );
    }
  }
  const beyond = added.find(({ id }) => !isTokenId(id));
  if (beyond !== undefined) {
    throw corrupt(
      file,
      `has the token ${describeJson(beyond.content)} with the id ${beyond.id}; the most is ${MOST_IDS - 1}`,
    );
  }
}

export function isTokenId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < MOST_IDS;
}

/**
 * The error for a file that is corrupt.
 *
 * @param found What is wrong with it, as the end of a sentence that begins with the file.
 */
export function corrupt(file: string, found: string, cause?: unknown): ModelComposeError {
  return failure(
    "invalid-config",
    `"${file}" ${found}.`,
    "It is corrupt or incomplete: fetch it again.",
    cause,
  );
}

function unsupported(file: string, found: string): ModelComposeError {
  return failure(
    "unsupported",
    `"${file}" ${found}.`,
    "Use a model whose tokenizer.json is of byte-pair encoding or Unigram.",
  );
}

function failure(code: ErrorCode, message: string, remedy: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError(code, message, { remedy, cause });
}
