/**
 * Where options come from (a caller, generation_config.json) and how one is read: its value, or an error that names it,
 * what is allowed and what was found.
 */
import { inspect } from "node:util";
import { ModelComposeError, type ErrorCode } from "../../base/errors.ts";

/** One place that parameters come from: the caller's options or generation_config.json. */
export interface OptionSource {
  /** Reads the parameter `name`, spelt as the library spells it; undefined is unset. */
  readonly read: (name: string) => unknown;
  /** The error for a parameter of this source: "… must be EXPECTED; found …". */
  readonly invalid: (name: string, expected: string, found: unknown) => ModelComposeError;
}

export interface NumberRule {
  /** The range in words, for messages. */
  readonly range: string;
  readonly allows: (value: number) => boolean;
}

/**
 * A caller's options as a source.
 *
 * @param values the options by name; `undefined` is unset
 */
export function callerSource(values: object): OptionSource {
  return {
    read: (name) => (values as Readonly<Record<string, unknown>>)[name],
    invalid: (name, expected, found) =>
      invalid("invalid-argument", `The option "${name}"`, expected, found, name),
  };
}

/**
 * A generation_config.json as a source.
 *
 * @param values the settings as in the file, so by snake_case names; `null` is unset, as in transformers
 */
export function configSource(values: Readonly<Record<string, unknown>>): OptionSource {
  return {
    read: (name) => values[snakeCase(name)] ?? undefined,
    invalid: (name, expected, found) =>
      invalid("invalid-config", `"${snakeCase(name)}" in generation_config.json`, expected, found),
  };
}

/**
 * A source without some of its parameters: those that nothing uses, whose values therefore need not be right.
 */
export function without(source: OptionSource, names: readonly string[]): OptionSource {
  return { ...source, read: (name) => (names.includes(name) ? undefined : source.read(name)) };
}

/** What is wrong with a parameter: the sentence that reading it throws, or nothing. */
export function faultOf(read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (error instanceof ModelComposeError) {
      return [error.message];
    }
    throw error;
  }
}

/** The rule that allows integers from `minimum` on, up to `maximum` where there is one. */
export const count = (minimum: number, maximum = Number.MAX_SAFE_INTEGER): NumberRule => ({
  range:
    maximum === Number.MAX_SAFE_INTEGER
      ? `an integer >= ${minimum}`
      : `an integer in ${minimum} .. ${maximum}`,
  allows: (value) => Number.isSafeInteger(value) && value >= minimum && value <= maximum,
});

export function readNumber(source: OptionSource, name: string, rule: NumberRule): number | undefined {
  const value = source.read(name);
  if (value === undefined) {
    return undefined;
  }
  if (typeof value !== "number" || !rule.allows(value)) {
    throw source.invalid(name, rule.range, value);
  }
  return value;
}

export function readBoolean(source: OptionSource, name: string): boolean | undefined {
  const value = source.read(name);
  if (value === undefined || typeof value === "boolean") {
    return value;
  }
  throw source.invalid(name, "true or false", value);
}

function invalid(
  code: ErrorCode,
  what: string,
  expected: string,
  found: unknown,
  parameter?: string,
): ModelComposeError {
  const shown = inspect(found, { breakLength: Infinity, depth: 1, maxArrayLength: 8, maxStringLength: 60 });
  return new ModelComposeError(code, `${what} must be ${expected}; found ${shown}.`, {
    remedy: "Correct it or leave it out.",
    parameter,
  });
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
