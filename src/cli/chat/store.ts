/** Conversations and lines that `chat` keeps for its user, below the state directory, for nobody else to read. */
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { ulid } from "ulid";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { readOwnText } from "../../runtime/platform/own-files.ts";
import { privateFolder } from "../../registry/state-directory.ts";
import { keptConversation, type KeptConversation } from "./conversation.ts";

/** The most bytes of a conversation's file that is read. */
const MOST_BYTES = 50_000_000;
/** How many lines of input are kept. */
const MOST_LINES = 1000;

const FOLDER = "chat";
const LINES_FILE = "lines.json";

/** A kept conversation with its id. Ids sort by the time at which conversations began. */
export interface StoredConversation extends KeptConversation {
  readonly id: string;
}

export function newConversationId(): string {
  return ulid();
}

/** Writes a conversation, which replaces what was kept of it before. */
export async function keepConversation(id: string, conversation: KeptConversation): Promise<void> {
  await writePrivately(await fileOf(id), JSON.stringify(conversation));
}

/** The kept conversations, the one that was written last first. What is none of ours is passed over. */
export async function keptConversations(): Promise<StoredConversation[]> {
  const names = await readdir(await privateFolder(FOLDER));
  const ids = names.flatMap((name) => /^([0-9A-HJKMNP-TV-Z]{26})\.json$/.exec(name)?.[1] ?? []);
  const read = await Promise.all(
    ids.map(async (id) => {
      try {
        return { id, ...parseConversation(await readOwnText(await fileOf(id), MOST_BYTES), id) };
      } catch {
        return undefined;
      }
    }),
  );
  return read.filter((one) => one !== undefined).sort((a, b) => b.savedAt.localeCompare(a.savedAt));
}

/** Writes a conversation to a file that the user names. @throws ModelComposeError "invalid-argument" */
export async function saveConversation(file: string, conversation: KeptConversation): Promise<void> {
  try {
    await writePrivately(path.resolve(file), `${JSON.stringify(conversation, null, 2)}\n`);
  } catch (error) {
    throw new ModelComposeError("invalid-argument", `${file} cannot be written: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
}

/** Reads a conversation from a file. @throws ModelComposeError "invalid-argument" for what is none */
export async function loadConversation(file: string): Promise<KeptConversation> {
  let text: string;
  try {
    text = await readOwnText(path.resolve(file), MOST_BYTES);
  } catch (error) {
    throw new ModelComposeError("invalid-argument", `${file} cannot be read: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
  return parseConversation(text, file);
}

function parseConversation(text: string, name: string): KeptConversation {
  try {
    return keptConversation.parse(JSON.parse(text));
  } catch (error) {
    throw new ModelComposeError("invalid-argument", `${name} is not a conversation that /save has written.`, {
      cause: error,
    });
  }
}

/** The lines that were entered, the newest first, as readline wants them. */
export async function readLines(): Promise<string[]> {
  try {
    const lines: unknown = JSON.parse(
      await readOwnText(path.join(await privateFolder(FOLDER), LINES_FILE), MOST_BYTES),
    );
    return Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [];
  } catch {
    return [];
  }
}

export async function keepLines(lines: readonly string[]): Promise<void> {
  const file = path.join(await privateFolder(FOLDER), LINES_FILE);
  await writePrivately(file, JSON.stringify(lines.slice(0, MOST_LINES)));
}

async function fileOf(id: string): Promise<string> {
  return path.join(await privateFolder(FOLDER), `${id}.json`);
}

/** Writes a file that only this user may read; nobody ever reads half of it. */
async function writePrivately(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  await rm(draft, { force: true });
  await writeFile(draft, text, { mode: 0o600, flag: "wx" });
  await rename(draft, file);
}
