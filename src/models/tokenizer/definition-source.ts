/** Where a definition comes from, and its parts: the same on the caller's thread and in a worker. */
import { fileStatus, readSmallFile } from "../../runtime/platform/files.ts";
import { corrupt, parseDefinition, type DefinitionPart } from "./definition.ts";
import type { TokenAdditions } from "./token-additions.ts";
import type { VocabularySource } from "./vocabulary-class.ts";
import { parseVocabularyFiles } from "./vocabulary-files.ts";

/** A tokenizer.json that a definition comes from. */
export interface TokenizerJsonSource {
  kind: "tokenizer.json";
  file: string;
  /** What the files beside it say of tokens. */
  additions: TokenAdditions;
}

/** What a definition comes from. It can be sent to a worker. */
export type DefinitionSource = TokenizerJsonSource | VocabularySource;

/** The file that errors about the whole name. */
export function sourceFile(source: DefinitionSource): string {
  return source.kind === "vocabulary" ? source.vocabularyFile : source.file;
}

/** The largest file that is read: published ones have up to 34 MB. */
const MOST_BYTES = 64 * 2 ** 20;

/**
 * The number of bytes to parse.
 *
 * @throws ModelComposeError `invalid-config` for a file that is too large
 */
export async function sourceSize(source: DefinitionSource): Promise<number> {
  const files = source.kind === "vocabulary" ? [source.vocabularyFile, source.mergesFile] : [source.file];
  let sum = 0;
  for (const file of files) {
    const size = (await fileStatus(file))?.size ?? 0;
    if (size > MOST_BYTES) {
      throw corrupt(file, `has ${size} bytes; expected ${MOST_BYTES} at most`);
    }
    sum += size;
  }
  return sum;
}

/**
 * Reads and parses a definition.
 *
 * @returns The header first, then slices.
 * @throws ModelComposeError as `parseDefinition` and `parseVocabularyFiles`, `not-found` when a file is not there.
 */
export async function parseSource(
  source: DefinitionSource,
): Promise<Generator<DefinitionPart, void, undefined>> {
  if (source.kind === "tokenizer.json") {
    return parseDefinition(await readSmallFile(source.file, "tokenizer"), source.file, source.additions);
  }
  return parseVocabularyFiles(
    await readSmallFile(source.vocabularyFile, "tokenizer"),
    await readSmallFile(source.mergesFile, "tokenizer"),
    source,
  );
}
