import { RE2JS } from "re2js";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { show } from "../template/convert.ts";

/** The operators that the conditions of a job of type `if` compare with. */
export const operators = [
  "eq",
  "neq",
  "gt",
  "gte",
  "lt",
  "lte",
  "in",
  "not-in",
  "starts-with",
  "ends-with",
  "match",
] as const;
/** The name of an operator. */
export type Operator = (typeof operators)[number];

/**
 * The most characters of a pattern. Patterns may come from the input of a run: their size is bounded, and matching
 * takes linear time (RE2).
 */
const LONGEST_PATTERN = 1000;

/**
 * Compiles the pattern of a `match`, in RE2's syntax.
 *
 * @throws ModelComposeError `invalid-input`
 */
export function compilePattern(source: string): RE2JS {
  if (source.length > LONGEST_PATTERN) {
    throw new ModelComposeError(
      "invalid-input",
      `A regular expression has at most ${LONGEST_PATTERN} characters, found ${source.length}.`,
    );
  }
  try {
    return RE2JS.compile(source);
  } catch (error) {
    throw new ModelComposeError(
      "invalid-input",
      `${show(source)} is not a regular expression: ${errorMessage(error)}.`,
      { remedy: "The syntax is RE2's: no look-around and no back-references." },
    );
  }
}

/** Why a text is no pattern of a `match`, or undefined when it is one. */
export function patternProblem(source: string): string | undefined {
  try {
    compilePattern(source);
    return undefined;
  } catch (error) {
    return errorMessage(error);
  }
}
