import { readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { readOwnText } from "../runtime/platform/own-files.ts";
import { privateFolder, stateDirectory } from "./state-directory.ts";

const registrationSchema = z.object({
  id: z.string(),
  /** The version of the program that wrote it: another one may speak another protocol. */
  version: z.string(),
  pid: z.int(),
  startedAt: z.iso.datetime(),
  name: z.string().optional(),
  /** Absolute paths of the compose files. */
  files: z.array(z.string()),
  definitionHash: z.string(),
  /** The options by which the command line overrides the files, as JSON. */
  overrides: z.string(),
  url: z.string(),
  webUiUrl: z.string().optional(),
  /** Milliseconds that the server's runs have to end when it is told to. */
  shutdownMilliseconds: z.number(),
  /** The port of the control server, which only listens on this machine. */
  controlPort: z.int(),
  /** The secret that the control server wants to see. */
  token: z.string(),
  /** Path of the log of a detached server. */
  log: z.string().optional(),
});

/** What a running server writes down of itself for the other commands of the same user. */
export type Registration = z.infer<typeof registrationSchema>;

const FOLDER = "servers";

/** Writes a registration. @returns a function that removes it */
export async function register(registration: Registration): Promise<() => Promise<void>> {
  const file = await fileOf(registration.id);
  // The file is written under another name, so that nobody ever reads half of it.
  const draft = `${file}.${process.pid}.tmp`;
  await rm(draft, { force: true });
  await writeFile(draft, JSON.stringify(registration), { mode: 0o600, flag: "wx" });
  await rename(draft, file);
  return () => rm(file, { force: true });
}

/** Every registration there is, oldest first, also of servers that ended without removing theirs. */
export async function readRegistrations(): Promise<Registration[]> {
  const folder = path.join(stateDirectory(), FOLDER);
  const ids = (await filesIn(folder)).flatMap((name) => /^([0-9a-f]{16})\.json$/.exec(name)?.[1] ?? []);
  const read = await Promise.all(ids.map((id) => readRegistration(path.join(folder, `${id}.json`), id)));
  return read
    .filter((registration) => registration !== undefined)
    .sort((a, b) => a.startedAt.localeCompare(b.startedAt));
}

export async function forget({ id }: Pick<Registration, "id">): Promise<void> {
  await rm(await fileOf(id), { force: true });
}

/** The names in a folder; none where there is no folder, or one that is not for this user. */
async function filesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ENOENT", "ENOTDIR", "EACCES", "EPERM"].includes(code)) {
      return [];
    }
    throw error;
  }
}

async function fileOf(id: string): Promise<string> {
  return path.join(await privateFolder(FOLDER), `${id}.json`);
}

/** The most bytes of a registration: a few hundred, and the paths of compose files. */
const MAX_BYTES = 1_000_000;

/**
 * Reads a registration; undefined where the file has been removed meanwhile, a version wrote it that writes others, or it is
 * none of ours: what a file says is believed only under its own name.
 */
async function readRegistration(file: string, id: string): Promise<Registration | undefined> {
  try {
    const registration = registrationSchema.parse(JSON.parse(await readOwnText(file, MAX_BYTES)));
    return registration.id === id ? registration : undefined;
  } catch {
    return undefined;
  }
}
