/** Reads vocab.json and merges.txt, checked, as the same definition that a tokenizer.json of the model would be. */
import { describeJson } from "../../base/json.ts";
import { corrupt, definitionParts, parseJson, readVocabulary, type DefinitionPart } from "./definition.ts";
import type { AddedToken } from "./added-vocabulary.ts";
import { MergesBuilder, type Merges } from "./merges.ts";
import { asAdded, type VocabularySource } from "./vocabulary-class.ts";

/** Number of tokens of GPT-2's vocabulary without added tokens. */
const GPT2_TOKENS = 50257;

/**
 * Parses vocab.json and merges.txt.
 *
 * @param vocabularyBytes The content of vocab.json.
 * @param mergesBytes The content of merges.txt.
 * @returns The header first, then slices.
 * @throws ModelComposeError `invalid-config` naming the file and the entry that is wrong.
 */
export function* parseVocabularyFiles(
  vocabularyBytes: Uint8Array,
  mergesBytes: Uint8Array,
  source: VocabularySource,
): Generator<DefinitionPart, void, undefined> {
  const { vocabularyFile, className, pipeline, around, model, scheme } = source;
  const vocabulary = readVocabulary(parseJson(vocabularyBytes, vocabularyFile), vocabularyFile);
  const lines = readMerges(mergesBytes, source.mergesFile);
  // Symbols of Blenderbot small are not spelled as tokens are; a word whose symbols are no tokens is unknown there.
  const merges =
    scheme.kind === "tokenizers"
      ? mergesOfTokens(lines, vocabulary, source.mergesFile)
      : mergesOfSymbols(lines);
  const addedTokens = addTokens(vocabulary, source);
  for (const token of source.requiredTokens) {
    if (vocabulary.has(token) || addedTokens.some(({ content }) => content === token)) {
      continue;
    }
    throw corrupt(vocabularyFile, `has no token ${describeJson(token)}, which ${className} needs`);
  }
  const idOf = (token: string): number =>
    addedTokens.find(({ content }) => content === token)?.id ?? vocabulary.get(token) ?? 0;
  yield* definitionParts({
    pipeline: {
      ...pipeline,
      post_processor: template(around.before.map(idOf), around.after.map(idOf)),
    },
    model,
    addedTokens,
    splitsSpecialTokens: false,
    vocabulary,
    table: { kind: "merges", merges },
    scheme,
  });
}

interface Merge {
  left: string;
  right: string;
  /** Number of its line, from 1. */
  line: number;
}

/** The merges by rank: one a line, two symbols with a space between them. `#version` lines and empty ones do not count. */
function readMerges(bytes: Uint8Array, file: string): Merge[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw corrupt(file, "is not valid UTF-8", error);
  }
  return text.split("\n").flatMap((ended, i) => {
    const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
    if (line === "" || line.startsWith("#version")) {
      return [];
    }
    const [left = "", right = "", ...rest] = line.split(" ");
    if (left === "" || right === "" || rest.length > 0) {
      throw corrupt(
        file,
        `has ${describeJson(line)} in line ${i + 1}; expected two tokens with a space between them`,
      );
    }
    return [{ left, right, line: i + 1 }];
  });
}

/** The post-processor of tokenizer.json that puts these ids around a text. */
function template(before: readonly number[], after: readonly number[]): object {
  return {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "before", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "after", type_id: 0 } },
    ],
    special_tokens: { before: { ids: before }, after: { ids: after } },
  };
}

function mergesOfTokens(
  merges: readonly Merge[],
  vocabulary: ReadonlyMap<string, number>,
  file: string,
): Merges {
  const builder = new MergesBuilder(merges.length);
  for (const { left, right, line } of merges) {
    const ids = [left, right, left + right].map((token) => vocabulary.get(token));
    const [leftId, rightId, id] = ids;
    if (leftId === undefined || rightId === undefined || id === undefined) {
      const unknown = [left, right, left + right][ids.indexOf(undefined)];
      const found = `merges ${describeJson(left)} and ${describeJson(right)} in line ${line}`;
      throw corrupt(file, `${found}, but ${describeJson(unknown)} is not in the vocabulary`);
    }
    builder.add(leftId, rightId, id, left + right);
  }
  return builder.finish();
}

/** Merges of symbols that have no ids: they are numbered as they come. */
function mergesOfSymbols(merges: readonly Merge[]): Merges {
  const builder = new MergesBuilder(merges.length);
  const numbers = new Map<string, number>();
  const numberOf = (symbol: string): number => {
    const number = numbers.get(symbol) ?? numbers.size;
    numbers.set(symbol, number);
    return number;
  };
  for (const { left, right } of merges) {
    builder.add(numberOf(left), numberOf(right), numberOf(left + right), left + right);
  }
  return { ...builder.finish(), symbols: [...numbers.keys()] };
}

/** The added tokens of the files, those of the class, and the special tokens of the vocabulary. */
function addTokens(vocabulary: ReadonlyMap<string, number>, source: VocabularySource): AddedToken[] {
  const added = [...source.addedTokens];
  if (added.length === 0 && source.codeGenRuns && endsAsGpt2(vocabulary)) {
    added.push(...codeGenRuns());
  }
  checkIds(added, vocabulary, source.addedTokensFile);
  const known = new Set(added.map(({ content }) => content));
  for (const token of source.specialTokens) {
    const id = vocabulary.get(token.content);
    if (id === undefined || known.has(token.content)) {
      continue;
    }
    known.add(token.content);
    added.push(asAdded(token, id));
  }
  return added;
}

/** Refuses an id of two tokens, and a token of two ids. */
function checkIds(added: readonly AddedToken[], vocabulary: ReadonlyMap<string, number>, file: string): void {
  if (added.length === 0) {
    return;
  }
  const byId = new Map<number, string>();
  for (const { id, content } of added) {
    const other = byId.get(id);
    if (other !== undefined) {
      throw twice(file, id, content, other);
    }
    byId.set(id, content);
  }
  for (const [token, id] of vocabulary) {
    const content = byId.get(id);
    if (content !== undefined && content !== token) {
      throw twice(file, id, content, token);
    }
  }
  for (const { id, content } of added) {
    const other = vocabulary.get(content);
    if (other === undefined || other === id) {
      continue;
    }
    throw corrupt(
      file,
      `gives the token ${describeJson(content)} the id ${id}, but its id in the vocabulary is ${other}`,
    );
  }
}

function twice(file: string, id: number, content: string, other: string): Error {
  return corrupt(
    file,
    `gives the token ${describeJson(content)} the id ${id}, which is that of ${describeJson(other)}`,
  );
}

function endsAsGpt2(vocabulary: ReadonlyMap<string, number>): boolean {
  if (vocabulary.size !== GPT2_TOKENS) {
    return false;
  }
  for (const id of vocabulary.values()) {
    if (id >= GPT2_TOKENS) {
      return false;
    }
  }
  return true;
}

/**
 * CodeGen's additions to GPT-2's vocabulary (Nijkamp et al. 2022; Salesforce's `create_custom_gpt2_tokenizer`): runs of
 * 31 to 2 spaces, then of 9 to 2 tabs. Repositories list them in added_tokens.json.
 */
function codeGenRuns(): AddedToken[] {
  const runs: string[] = [];
  for (let length = 31; length >= 2; length--) {
    runs.push(" ".repeat(length));
  }
  for (let length = 9; length >= 2; length--) {
    runs.push("\t".repeat(length));
  }
  return runs.map((content, i) => ({
    ...asAdded({ content, lstrip: false, rstrip: false }, GPT2_TOKENS + i),
    special: false,
  }));
}
