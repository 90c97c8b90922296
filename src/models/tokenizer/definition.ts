/**
 * What a tokenizer is made of, in a form that travels well between threads: the small part as it is, the vocabulary
 * and the merges (17 MB for SmolLM3) in slices. The form is that of tokenizer.json, the format of Hugging Face's
 * tokenizers library, which is parsed here; vocabulary-files.ts makes the same of the files that came before it.
 */
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { errorMessage, ModelComposeError, type ErrorCode } from "../../base/errors.ts";

/** How many tokens or merges a slice has: about two milliseconds of work for the thread that takes it in. */
const SLICE_LENGTH = 4096;

/** A token beside the vocabulary: found in text before anything else happens to it. */
export interface AddedToken extends JsonObject {
  id: number;
  content: string;
  special: boolean;
}

/** tokenizer.json without its vocabulary and merges: `model.vocab` and `model.merges` are empty. */
export interface TokenizerHeader extends JsonObject {
  added_tokens: AddedToken[];
  model: JsonObject;
}

/** How text becomes tokens and tokens text: by the header alone, or by a class of our own beside it. */
export type Scheme = { kind: "tokenizers" } | { kind: "blenderbot-small"; cleanUpSpaces: boolean };

/** A part of a definition: first the header, then slices of the vocabulary and of the merges. */
export type DefinitionPart =
  | {
      kind: "header";
      header: TokenizerHeader;
      vocabSize: number;
      unknownId: number | undefined;
      scheme: Scheme;
    }
  | { kind: "tokens"; tokens: string[]; ids: number[] }
  /** `keys` are the `mergeKey`s of consecutive merges; the first has rank `firstRank`. */
  | { kind: "merges"; firstRank: number; keys: string[] };

/** A whole definition, before it is cut into parts. */
export interface Definition {
  /** tokenizer.json with `normalizer`, `pre_tokenizer`, `post_processor`, `decoder`; those absent count as null. */
  json: JsonObject;
  model: JsonObject;
  addedTokens: AddedToken[];
  vocabulary: ReadonlyMap<string, number>;
  /** The `mergeKey` of each merge, by rank. */
  mergeKeys: string[];
  scheme: Scheme;
}

/** One string for the two parts of a merge: how `@huggingface/tokenizers` keys its table of ranks. */
export function mergeKey(left: string, right: string): string {
  return JSON.stringify([left, right]);
}

/**
 * Parses the bytes of a tokenizer.json with a BPE model.
 *
 * @param file The path of the file, which errors name.
 * @param specialNames Tokens that tokenizer_config.json or special_tokens_map.json call special. As in transformers,
 *   one that is only in the vocabulary becomes a special added token.
 * @returns The header first, then slices.
 * @throws ModelComposeError `invalid-config` when it is corrupt, `unsupported` for what exists but is not done here.
 */
export function* parseDefinition(
  bytes: Uint8Array,
  file: string,
  specialNames: readonly string[],
): Generator<DefinitionPart, void, undefined> {
  const json = parseJson(bytes, file);
  const { model } = json;
  if (!isJsonObject(model)) {
    throw corrupt(file, `has ${describeJson(model)} as "model"; expected an object`);
  }
  checkSupported(model, file);
  for (const part of ["normalizer", "decoder"]) {
    checkGrowth(json[part], part, file);
  }
  if (!isJsonObject(model.vocab)) {
    throw corrupt(file, `has ${describeJson(model.vocab)} as "model.vocab"; expected an object`);
  }
  const vocabulary = readVocabulary(model.vocab, file);
  const mergeKeys = readMerges(model.merges, vocabulary, file);
  const addedTokens = readAddedTokens(json.added_tokens, file);
  const known = new Set(addedTokens.map((token) => token.content));
  for (const content of new Set(specialNames)) {
    const id = vocabulary.get(content);
    if (id !== undefined && !known.has(content)) {
      addedTokens.push({ id, content, special: true, normalized: false });
    }
  }
  yield* definitionParts({ json, model, addedTokens, vocabulary, mergeKeys, scheme: { kind: "tokenizers" } });
}

/**
 * How many times longer a definition's replacements may make a text, all together. Those of models make it a few times as
 * long.
 */
const MOST_GROWTH = 256;

/** Refuses replacements that make texts longer and longer: forty that double would fill the memory. */
function checkGrowth(part: unknown, name: string, file: string): void {
  if (growthOf(part) <= MOST_GROWTH) {
    return;
  }
  throw corrupt(file, `has a ${name} that makes texts more than ${MOST_GROWTH} times as long`);
}

function growthOf(part: unknown): number {
  if (!isJsonObject(part)) {
    return 1;
  }
  const steps = [part.normalizers, part.decoders].flatMap((list): unknown[] =>
    Array.isArray(list) ? list : [],
  );
  const { type, content, pattern } = part;
  let growth = 1;
  if (type === "Replace" && typeof content === "string") {
    const text = isJsonObject(pattern) && typeof pattern.String === "string" ? pattern.String : "";
    growth = Math.max(1, content.length / Math.max(1, text.length));
  }
  return steps.reduce((product: number, step) => product * growthOf(step), growth);
}

/** Cuts a definition into its header and slices. */
export function* definitionParts(definition: Definition): Generator<DefinitionPart, void, undefined> {
  const { json, model, addedTokens, vocabulary, mergeKeys, scheme } = definition;
  let vocabSize = 0;
  for (const id of vocabulary.values()) {
    vocabSize = Math.max(vocabSize, id + 1);
  }
  for (const { id } of addedTokens) {
    vocabSize = Math.max(vocabSize, id + 1);
  }
  const unknown = typeof model.unk_token === "string" ? model.unk_token : undefined;
  yield {
    kind: "header",
    header: {
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      ...json,
      added_tokens: addedTokens,
      model: { ...model, type: "BPE", vocab: {}, merges: [] },
    },
    vocabSize,
    unknownId: unknown === undefined ? undefined : vocabulary.get(unknown),
    scheme,
  };
  const tokens = [...vocabulary.keys()];
  const ids = [...vocabulary.values()];
  for (let i = 0; i < tokens.length; i += SLICE_LENGTH) {
    yield { kind: "tokens", tokens: tokens.slice(i, i + SLICE_LENGTH), ids: ids.slice(i, i + SLICE_LENGTH) };
  }
  for (let i = 0; i < mergeKeys.length; i += SLICE_LENGTH) {
    yield { kind: "merges", firstRank: i, keys: mergeKeys.slice(i, i + SLICE_LENGTH) };
  }
}

/** Parses bytes that must hold a JSON object. A token may be any key, so keys are not checked here. */
export function parseJson(bytes: Uint8Array, file: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw corrupt(file, `is not valid JSON: ${errorMessage(error)}`, error);
  }
  if (!isJsonObject(value)) {
    throw corrupt(file, `holds ${describeJson(value)}; expected a JSON object`);
  }
  return value;
}

function checkSupported(model: JsonObject, file: string): void {
  // Files from before the field was introduced have no type; only BPE has merges.
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (type === undefined) {
    throw corrupt(file, `has a "model" without "type"`);
  }
  if (type !== "BPE") {
    throw unsupported(file, `has a model of type ${describeJson(type)}; only "BPE" is supported`);
  }
  const prefix = model.continuing_subword_prefix;
  if (typeof prefix === "string" && prefix !== "") {
    throw unsupported(file, `sets model.continuing_subword_prefix (${describeJson(prefix)})`);
  }
  if (typeof model.dropout === "number" && model.dropout > 0) {
    throw unsupported(
      file,
      `sets model.dropout (${model.dropout}): the same text would give different tokens`,
    );
  }
}

/** Reads the tokens and their ids. */
export function readVocabulary(vocab: JsonObject, file: string): Map<string, number> {
  const vocabulary = new Map<string, number>();
  for (const token in vocab) {
    const id = vocab[token];
    if (!isTokenId(id)) {
      throw corrupt(
        file,
        `gives the token ${describeJson(token)} the id ${describeJson(id)}; expected an integer >= 0`,
      );
    }
    vocabulary.set(token, id);
  }
  return vocabulary;
}

/** Reads the merges in both spellings: ["a", "b"] and the older "a b". */
function readMerges(merges: unknown, vocabulary: ReadonlyMap<string, number>, file: string): string[] {
  if (!Array.isArray(merges)) {
    throw corrupt(file, `has ${describeJson(merges)} as "model.merges"; expected a list`);
  }
  return merges.map((merge: unknown, rank) => {
    const parts: unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== "string" || typeof right !== "string") {
      throw corrupt(file, `has ${describeJson(merge)} as merge ${rank}; expected two tokens`);
    }
    // Text would lose characters silently where the result is not a token.
    if (!vocabulary.has(left + right)) {
      throw corrupt(
        file,
        `merges to ${describeJson(left + right)} (merge ${rank}), which is not in its vocabulary`,
      );
    }
    return mergeKey(left, right);
  });
}

function readAddedTokens(added: unknown, file: string): AddedToken[] {
  if (added === undefined || added === null) {
    return [];
  }
  if (!Array.isArray(added)) {
    throw corrupt(file, `has ${describeJson(added)} as "added_tokens"; expected a list`);
  }
  return added.map((token: unknown) => {
    if (
      !isJsonObject(token) ||
      !isTokenId(token.id) ||
      typeof token.content !== "string" ||
      token.content === ""
    ) {
      throw corrupt(
        file,
        `has the added token ${describeJson(token)}; expected an object with "id" and "content"`,
      );
    }
    return { ...token, id: token.id, content: token.content, special: token.special === true };
  });
}

export function isTokenId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31;
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
    "Use a model with a byte-pair-encoding tokenizer.json.",
  );
}

function failure(code: ErrorCode, message: string, remedy: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError(code, message, { remedy, cause });
}
