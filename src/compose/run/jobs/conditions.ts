import { isDeepStrictEqual } from "node:util";
import { compilePattern, type Operator } from "../../definition/operators.ts";
import { WorkflowInputError } from "../input-error.ts";
import { isObject, numberFromText, show } from "../../template/convert.ts";

/**
 * Whether `input operator value` holds, for JSON values. Equality is that of types and values ("3" is not 3);
 * order also takes a text that reads as a number for one when the other side is a number. `in` looks for an item
 * of a list, a part of a text or a key of an object. `match` is a regular expression at the start of the text.
 *
 * @throws WorkflowInputError when the operator is not defined for such values; ModelComposeError "invalid-input" for a
 *   text that is no pattern
 */
export function holds(operator: Operator, input: unknown, value: unknown): boolean {
  switch (operator) {
    case "eq":
      return isDeepStrictEqual(input, value);
    case "neq":
      return !isDeepStrictEqual(input, value);
    case "gt":
      return compare(operator, input, value) > 0;
    case "gte":
      return compare(operator, input, value) >= 0;
    case "lt":
      return compare(operator, input, value) < 0;
    case "lte":
      return compare(operator, input, value) <= 0;
    case "in":
      return isIn(operator, input, value);
    case "not-in":
      return !isIn(operator, input, value);
    case "starts-with":
      return text(operator, input).startsWith(text(operator, value));
    case "ends-with":
      return text(operator, input).endsWith(text(operator, value));
    case "match":
      return compilePattern(text(operator, value)).matcher(text(operator, input)).lookingAt();
  }
}

function compare(operator: Operator, input: unknown, value: unknown): number {
  const a = typeof value === "number" ? asNumber(input) : input;
  const b = typeof input === "number" ? asNumber(value) : value;
  if ((typeof a === "number" && typeof b === "number") || (typeof a === "string" && typeof b === "string")) {
    return a < b ? -1 : a > b ? 1 : 0;
  }
  throw new WorkflowInputError(
    `${operator} compares two numbers or two texts, found ${show(input)} and ${show(value)}.`,
  );
}

function asNumber(value: unknown): unknown {
  return typeof value === "string" ? (numberFromText(value) ?? value) : value;
}

function isIn(operator: Operator, input: unknown, value: unknown): boolean {
  if (Array.isArray(value)) {
    return value.some((item) => isDeepStrictEqual(item, input));
  }
  if (typeof value === "string") {
    return value.includes(text(operator, input));
  }
  if (isObject(value)) {
    return typeof input === "string" && Object.hasOwn(value, input);
  }
  throw new WorkflowInputError(`${operator} looks in a list, a text or an object, found ${show(value)}.`);
}

function text(operator: Operator, value: unknown): string {
  if (typeof value === "string") {
    return value;
  }
  throw new WorkflowInputError(`${operator} takes texts, found ${show(value)}.`);
}
