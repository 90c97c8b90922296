/** What the readers of configuration files share: zod for shapes, our errors for people. */
import { z } from "zod";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { readJsonObject } from "../../runtime/platform/files.ts";

/** A configuration file that was read: its values and its path, for errors. */
export interface ConfigFile {
  path: string;
  values: JsonObject;
  /** Keys that the file leaves out and that have the values of transformers' class. */
  defaults?: ReadonlySet<string>;
  /** What people should know of the file, though it runs: shared by all copies of this. */
  notices?: string[];
}

/** Notes what a file says that has no effect here. */
export function notice(file: ConfigFile, text: string): void {
  const line = `"${file.path}": ${text}`;
  if (file.notices?.includes(line) === false) {
    file.notices.push(line);
  }
}

/**
 * Reads a configuration file.
 *
 * @throws ModelComposeError "not-found" without the file, "invalid-config" for one that holds no JSON object
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const values = await readJsonObject(path, "config", {
    code: "invalid-config",
    remedy: "Correct the file, or fetch it again.",
  });
  return { path, values, notices: [] };
}

/** The largest number of positions, and token id: what fits a signed 32-bit integer. Devices count in these. */
const MAX_POSITIONS = 2 ** 31 - 1;

/** A number of positions. Nothing is made of so many: a context has what was asked for. */
export const positions = z.int().min(1).max(MAX_POSITIONS);

/** A number of channels. The bound is twenty times that of published models; descriptions of rows are made of so many. */
export const size = z
  .int()
  .min(1)
  .max(2 ** 20);

/** A number of tokens: the ids that a tokenizer here may have. Published models have up to 262,208. */
export const vocabularySize = z
  .int()
  .min(1)
  .max(2 ** 22);

/** A count of layers or heads. The bound is far beyond every model; a Program of so many layers is built in a moment. */
export const count = z.int().min(1).max(4096);

/** The channels of a head, bounded because RoPE makes a frequency of each pair before any weight is looked at. */
export const headSize = z.int().min(1).max(65_536);

export const tokenId = z.int().min(0).max(MAX_POSITIONS);

/** A token id, or -1, which is how some tools write "none". */
export const tokenIdOrNone = z.int().min(-1).max(MAX_POSITIONS);

/**
 * The epsilon of a norm: some models have 1e-12, some 1e-3; what is larger than 1 makes noise of every layer. It is a normal
 * number of f32, the type in which it is added.
 */
export const epsilon = z
  .number()
  .min(2 ** -126)
  .max(1);

/** One token id, or a list of them, as a list without repetitions and without -1. */
export const tokenIds = z
  .union([tokenIdOrNone.transform((id) => [id]), z.array(tokenIdOrNone).max(4096)], {
    error: "expected a token id (integer >= 0) or a list of them",
  })
  .transform((ids) => [...new Set(ids)].filter((id) => id >= 0));

/** A file, with the values of transformers' class for the keys that it leaves out; null in a file means none. */
export function withDefaults(file: ConfigFile, defaults: JsonObject): ConfigFile {
  const missing = Object.keys(defaults).filter((key) => file.values[key] === undefined);
  return { ...file, values: { ...defaults, ...file.values }, defaults: new Set(missing) };
}

/**
 * A file in which values under other names of some keys (transformers' attribute_map) stand under their own. `aliases`
 * are "other": "name"; a file may have both names when they agree.
 *
 * @throws ModelComposeError "invalid-config" when they differ
 */
export function withAliases(file: ConfigFile, aliases: Readonly<Record<string, string>>): ConfigFile {
  const values = { ...file.values };
  for (const [alias, name] of Object.entries(aliases)) {
    const [other, own] = [values[alias], values[name]];
    if (other === undefined) {
      continue;
    }
    if (own !== undefined && other !== own) {
      throw invalidConfig(
        file,
        `"${name}" is ${describeJson(own)} and "${alias}", the same thing, ${describeJson(other)}; expected one value.`,
      );
    }
    values[name] = other;
  }
  return { ...file, values };
}

/**
 * The values of a file that fit a schema.
 *
 * @throws ModelComposeError "invalid-config" naming the file, every wrong key, what was expected and what was found
 */
export function parseConfig<S extends z.ZodType>(file: ConfigFile, schema: S): z.output<S> {
  const result = schema.safeParse(file.values);
  if (result.success) {
    return result.data;
  }
  const problems = result.error.issues.map((issue) => {
    const found = describeJson(valueAt(file.values, issue.path));
    return `"${issue.path.join(".")}": ${expectation(issue)}, found ${found}`;
  });
  throw invalidConfig(file, `${problems.join("; ")}.`);
}

export function invalidConfig(file: ConfigFile, problem: string): ModelComposeError {
  return new ModelComposeError("invalid-config", `"${file.path}": ${problem}`, {
    remedy: "Correct the file, or fetch it again.",
  });
}

/** The error for what transformers knows and this program does not (yet). */
export function unsupportedConfig(file: ConfigFile, problem: string, remedy: string): ModelComposeError {
  return new ModelComposeError("unsupported", `"${file.path}": ${problem}`, { remedy });
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") {
    return `expected ${issue.expected === "int" ? "integer" : issue.expected}`;
  }
  if (issue.code === "too_small") {
    return `expected ${issue.inclusive === true ? "at least" : "more than"} ${issue.minimum}`;
  }
  if (issue.code === "too_big") {
    return `expected ${issue.inclusive === true ? "at most" : "less than"} ${issue.maximum}`;
  }
  return issue.message;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value) && typeof key === "number") {
      return (value as unknown[])[key];
    }
    return isJsonObject(value) && typeof key === "string" && Object.hasOwn(value, key)
      ? value[key]
      : undefined;
  }, root);
}
