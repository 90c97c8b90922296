/** Files that a message names with `@path`: what stands in them goes with it. */
import { open } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { decodeText } from "../../base/decode-text.ts";
import { formatBytes } from "../../base/bytes.ts";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";

/** The most bytes of a file: more would fill the context of any model. */
const MOST_BYTES = 1_000_000;

/** `@path`, or `@"path with spaces"`, at the beginning or behind white space or a bracket. */
const MENTION = /(?<=^|[\s([{])@(?:"([^"\n]+)"|([^\s"]+))/g;

/** A file that a message may name. */
export interface Mention {
  readonly path: string;
  /** Whether it can only be a file: what is quoted, or has a slash or an ending. Else it may be the name of somebody. */
  readonly isCertain: boolean;
}

/** The files that a message names, each once. Punctuation behind a path is none of it. */
export function mentionsIn(message: string): Mention[] {
  const found = new Map<string, Mention>();
  for (const [, quoted, bare = ""] of message.matchAll(MENTION)) {
    const name = quoted ?? bare.replace(/[.,;:!?)\]}']+$/, "");
    if (name !== "") {
      found.set(name, { path: name, isCertain: quoted !== undefined || /[/\\]|\.\w+$/.test(name) });
    }
  }
  return [...found.values()];
}

/** A message with the text of files behind it, each between fences that are longer than any in it. */
export function withFiles(message: string, files: ReadonlyMap<string, string>): string {
  const parts = [...files].map(([name, text]) => {
    const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([fence]) => fence.length));
    const fence = "`".repeat(longest + 1);
    const language = path.extname(name).slice(1);
    return `${name}:\n${fence}${language}\n${text}${text.endsWith("\n") ? "" : "\n"}${fence}`;
  });
  return [message, ...parts].join("\n\n");
}

/**
 * A message with the files that it names.
 *
 * @throws ModelComposeError "invalid-input" for a file that is not there, is no text or is too long
 */
export async function readMentions(message: string, directory: string): Promise<string> {
  const files = new Map<string, string>();
  for (const mention of mentionsIn(message)) {
    const text = await readMention(mention, directory);
    if (text !== undefined) {
      files.set(mention.path, text);
    }
  }
  return files.size === 0 ? message : withFiles(message, files);
}

/** @returns undefined for what is no file, and need not be one */
async function readMention(
  { path: name, isCertain }: Mention,
  directory: string,
): Promise<string | undefined> {
  const whole = path.resolve(
    directory,
    name.replace(/^~(?=[/\\]|$)/, () => homedir()),
  );
  try {
    const file = await open(whole, "r");
    try {
      const found = await file.stat();
      if (!found.isFile()) {
        throw refused(`@${name} is not a file.`);
      }
      if (found.size > MOST_BYTES) {
        throw refused(
          `@${name} has ${formatBytes(found.size)}; expected ${formatBytes(MOST_BYTES)} at most.`,
        );
      }
      return decodeText(await file.readFile(), `@${name}`);
    } finally {
      await file.close();
    }
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (isMissing && !isCertain) {
      return undefined;
    }
    if (error instanceof ModelComposeError) {
      throw error;
    }
    throw refused(
      isMissing ? `@${name}: there is no such file.` : `@${name} cannot be read: ${errorMessage(error)}.`,
      error,
    );
  }
}

function refused(message: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError("invalid-input", message, {
    remedy: "Nothing was sent. Write the path from this folder on, or in full.",
    cause,
  });
}
