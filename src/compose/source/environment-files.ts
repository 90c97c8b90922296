import { readFileSync } from "node:fs";
import path from "node:path";
import { decodeText } from "../../base/decode-text.ts";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { Environment } from "../template/environment.ts";
import { parseDotenv } from "./dotenv.ts";

/** Where the variables of `${env.NAME}` come from. */
export interface EnvironmentOptions {
  readonly directory: string;
  /** Values of `-e`, as NAME=VALUE. */
  readonly entries: readonly string[];
  /** Paths of `--env-file`; beside them, `.env` in the directory is read if it is there. */
  readonly files: readonly string[];
  readonly process: Readonly<Record<string, string | undefined>>;
  /** Hears of lines of the files that are no assignments. */
  readonly onWarning?: (message: string) => void;
}

/**
 * The variables of `${env.NAME}`. First wins: `-e`, the process, the files (a later file before an earlier
 * one), `.env`.
 *
 * @throws ModelComposeError "usage" when an entry has no `=`, "not-found" when a file cannot be read, "invalid-config" for
 *   one that is no text
 */
export function readEnvironment(options: EnvironmentOptions): Environment {
  const outer = new Map(
    Object.entries(options.process).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const merged = new Map<string, string>();
  const add = (values: ReadonlyMap<string, string>): void => {
    for (const [name, value] of values) {
      merged.set(name, value);
    }
  };
  const addFile = (file: string, isOptional: boolean): void => {
    const text = readText(file, isOptional);
    if (text === undefined) {
      return;
    }
    const { values, badLines } = parseDotenv(text, outer);
    add(values);
    if (badLines.length > 0) {
      // What stands there may be a secret, and is not quoted.
      const lines = `${badLines.length === 1 ? "line" : "lines"} ${badLines.slice(0, 10).join(", ")}`;
      options.onWarning?.(`The env file ${file}, ${lines}: expected NAME=VALUE; this is passed over.`);
    }
  };
  addFile(path.join(options.directory, ".env"), true);
  for (const file of options.files) {
    addFile(path.resolve(options.directory, file), false);
  }
  add(outer);
  for (const entry of options.entries) {
    const match = /^([^=]+)=([\s\S]*)$/.exec(entry);
    if (match === null) {
      throw new ModelComposeError("usage", `-e ${entry}: expected NAME=VALUE.`);
    }
    merged.set(match[1] ?? "", match[2] ?? "");
  }
  return merged;
}

/** @returns undefined: an optional file is not there */
function readText(file: string, isOptional: boolean): string | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (isOptional && isMissing) {
      return undefined;
    }
    const why = isMissing ? "does not exist" : `cannot be read: ${errorMessage(error)}`;
    throw new ModelComposeError("not-found", `The env file ${file} ${why}.`, { cause: error });
  }
  return decodeText(bytes, `The env file ${file}`);
}
