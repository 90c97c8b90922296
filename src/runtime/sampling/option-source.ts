/**
 * Where options come from (a caller, generation_config.json) and how one is read: its value, or an error that names it,
 * what is allowed and what was found.
 */
import { inspect } from "node:util";
import { ModelComposeError, type ErrorCode } from "../../base/errors.ts";

/** One place that parameters come from: the caller's options or generation_config.json. */
export interface Source {
  readonly code: ErrorCode;
  /** How messages name a parameter of this source. */
  readonly describe: (name: string) => string;
  readonly read: (name: string) => unknown;
}

export interface NumberRule {
  /** The range in words, for messages. */
  readonly range: string;
  readonly allows: (value: number) => boolean;
}

/** @param values by name; `undefined` is unset */
export function callerSource(values: object): Source {
  return {
    code: "invalid-argument",
    describe: (name) => `The option "${name}"`,
    read: (name) => (values as Readonly<Record<string, unknown>>)[name],
  };
}

/** @param values as in the file, so by snake_case names; `null` is unset, as in transformers */
export function configSource(values: Readonly<Record<string, unknown>>): Source {
  return {
    code: "invalid-config",
    describe: (name) => `"${snakeCase(name)}" in generation_config.json`,
    read: (name) => values[snakeCase(name)] ?? undefined,
  };
}

export const count = (minimum: number): NumberRule => ({
  range: `an integer >= ${minimum}`,
  allows: (value) => Number.isSafeInteger(value) && value >= minimum,
});

export function readNumber(source: Source, name: string, rule: NumberRule): number | undefined {
  const value = source.read(name);
  if (value === undefined) {
    return undefined;
  }
  if (typeof value !== "number" || !rule.allows(value)) {
    throw invalid(source.code, source.describe(name), rule.range, value);
  }
  return value;
}

export function readBoolean(source: Source, name: string): boolean | undefined {
  const value = source.read(name);
  if (value === undefined || typeof value === "boolean") {
    return value;
  }
  throw invalid(source.code, source.describe(name), "true or false", value);
}

export function invalid(code: ErrorCode, what: string, expected: string, found: unknown): ModelComposeError {
  const shown = inspect(found, { breakLength: Infinity, depth: 1, maxArrayLength: 8, maxStringLength: 60 });
  return new ModelComposeError(code, `${what} must be ${expected}; found ${shown}.`, {
    remedy: "Correct it or leave it out.",
  });
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
