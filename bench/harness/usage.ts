/** What the command lines of all benchmarks have in common: how they are read, and what is said of a wrong one. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { errorMessage, ModelComposeError } from "../../src/base/errors.ts";

export function usageError(message: string): ModelComposeError {
  return new ModelComposeError("usage", message, { remedy: "See --help." });
}

/** Does what parseArgs does. @throws ModelComposeError "usage" for a wrong command line */
export function parseFlags<Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw usageError(errorMessage(error));
  }
}

/** What a number may be, both bounds included. Default: 1 to 2^24, more than any measurement is of. */
interface Bounds {
  readonly least?: number;
  readonly most?: number;
}

/** Reads a flag's integer; undefined where the flag is not given. @throws ModelComposeError "usage" */
export function countFlag(flag: string, text: string, bounds?: Bounds): number;
export function countFlag(flag: string, text: string | undefined, bounds?: Bounds): number | undefined;
export function countFlag(
  flag: string,
  text: string | undefined,
  { least = 1, most = 2 ** 24 }: Bounds = {},
): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) {
    return value;
  }
  throw usageError(`${flag} must be an integer from ${least} to ${most}; found "${text}".`);
}

/** Reads a flag's seed. @throws ModelComposeError "usage" */
export function seedFlag(flag: string, text: string): number {
  const seed = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(seed)) {
    throw usageError(`${flag} must be an integer in 0 .. 2^53 - 1; found "${text}".`);
  }
  return seed;
}
