/** Where a definition comes from, and its parts: the same on the caller's thread and in a worker. */
import { fileStatus, readSmallFile } from "../../runtime/platform/files.ts";
import { parseDefinition, type DefinitionPart } from "./definition.ts";
import type { VocabularySource } from "./vocabulary-class.ts";
import { parseVocabularyFiles } from "./vocabulary-files.ts";

/** A tokenizer.json that a definition comes from. */
export interface TokenizerJsonSource {
  kind: "tokenizer.json";
  file: string;
  /** Names of special tokens, as `parseDefinition` takes them. */
  specialNames: readonly string[];
}

/** What a definition comes from. It can be sent to a worker. */
export type DefinitionSource = TokenizerJsonSource | VocabularySource;

/** The file that errors about the whole name. */
export function sourceFile(source: DefinitionSource): string {
  return source.kind === "vocabulary" ? source.vocabularyFile : source.file;
}

/** The number of bytes to parse. */
export async function sourceSize(source: DefinitionSource): Promise<number> {
  const files = source.kind === "vocabulary" ? [source.vocabularyFile, source.mergesFile] : [source.file];
  let size = 0;
  for (const file of files) {
    size += (await fileStatus(file))?.size ?? 0;
  }
  return size;
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
    return parseDefinition(await readSmallFile(source.file), source.file, source.specialNames);
  }
  return parseVocabularyFiles(
    await readSmallFile(source.vocabularyFile),
    await readSmallFile(source.mergesFile),
    source,
  );
}
