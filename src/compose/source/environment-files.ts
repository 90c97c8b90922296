import { readFileSync } from "node:fs";
import path from "node:path";
import { parseEnv } from "node:util";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { Environment } from "../template/environment.ts";

/** Where the variables of `${env.NAME}` come from. */
export interface EnvironmentOptions {
  readonly directory: string;
  /** Values of `-e`, as NAME=VALUE. */
  readonly entries: readonly string[];
  /** Paths of `--env-file`; beside them, `.env` in the directory is read if it is there. */
  readonly files: readonly string[];
  readonly process: Readonly<Record<string, string | undefined>>;
}

/**
 * The variables of `${env.NAME}`. First wins: `-e`, the process, the files (a later file before an earlier
 * one), `.env`.
 *
 * @throws ModelComposeError when an entry has no `=`, or a file cannot be read
 */
export function readEnvironment(options: EnvironmentOptions): Environment {
  const merged = new Map<string, string>();
  const add = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value !== undefined) {
        merged.set(name, value);
      }
    }
  };
  add(readFile(path.join(options.directory, ".env"), true));
  for (const file of options.files) {
    add(readFile(path.resolve(options.directory, file), false));
  }
  add(options.process);
  for (const entry of options.entries) {
    const match = /^([^=]+)=([\s\S]*)$/.exec(entry);
    if (match === null) {
      throw new ModelComposeError("usage", `-e ${entry}: expected NAME=VALUE.`);
    }
    merged.set(match[1] ?? "", match[2] ?? "");
  }
  return merged;
}

function readFile(file: string, optional: boolean): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(file, "utf8"));
  } catch (error) {
    if (optional && (error as NodeJS.ErrnoException).code === "ENOENT") {
      return {};
    }
    throw new ModelComposeError("not-found", `The env file ${file} cannot be read: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
}
