/** Makes the input of a run from the texts of a form. */
import type { WireVariable } from "./wire.ts";

/** The error for a field that holds what its variable cannot be. */
export class FormInputError extends Error {
  override readonly name = "FormInputError";
  /** The name of the variable; undefined where it is the whole input, or no single one is at fault. */
  readonly field: string | undefined;

  constructor(message: string, field?: string) {
    super(message);
    this.field = field;
  }
}

/**
 * The input of a run from the fields of a form, one text for each variable: numbers, booleans and JSON by the
 * variable's type, a list from one item a line. A field that is empty or absent is left out, so that the template's
 * default applies. Names are paths (`user.name`, `items[0]`), and become objects and lists.
 *
 * @throws FormInputError naming the field
 */
export function inputFromForm(
  variables: readonly WireVariable[],
  fields: ReadonlyMap<string, string>,
): unknown {
  let input: unknown;
  for (const variable of variables) {
    const text = fields.get(variable.name ?? "") ?? "";
    if (text.trim() === "") {
      continue;
    }
    const value = variable.is_list
      ? text
          .split(/\r?\n/)
          .filter((line) => line.trim() !== "")
          .map((line) => fieldValue(variable, line))
      : fieldValue(variable, text);
    input = withValue(input, pathOf(variable.name), value);
  }
  return input ?? (variables.some(({ name }) => name === undefined) ? null : {});
}

function fieldValue({ name, type }: WireVariable, text: string): unknown {
  switch (type) {
    case "integer":
    case "number":
    case "slider": {
      const number = decimal(text);
      if (number !== undefined && (type !== "integer" || Number.isSafeInteger(number))) {
        return number;
      }
      const expected = type === "integer" ? "an integer" : "a number";
      throw new FormInputError(`${name ?? "The input"} must be ${expected}, found ${shown(text)}.`, name);
    }
    case "boolean":
      return ["true", "1", "on"].includes(text.trim().toLowerCase());
    case "json":
    case "list":
    case "object":
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw new FormInputError(`${name ?? "The input"} must be JSON, found ${shown(text)}.`, name);
      }
    case "string":
    case "text":
    case "markdown":
    case "base64":
    case "select":
    case "stream":
    case "any":
    case "none":
      return text;
  }
}

const DECIMAL = /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/;

/** The number that a text stands for, as templates read it: 0x10 and Infinity are none. */
function decimal(text: string): number | undefined {
  return DECIMAL.test(text) ? Number(text) : undefined;
}

/** A text for messages, not longer than a line. */
function shown(text: string): string {
  const json = JSON.stringify(text);
  return `the text ${json.length > 80 ? `${json.slice(0, 77)}…` : json}`;
}

/** The most items of a list that a name may ask for: `items[1000000]` in a file is no reason to fill memory. */
const LONGEST_LIST = 1000;

/** An input with a value at the place of a variable's name; "" is the whole input. */
export function withValueAt(input: unknown, name: string, value: unknown): unknown {
  return withValue(input, pathOf(name), value);
}

/** The steps of a name such as `user.name` or `items[0]`. */
function pathOf(name: string | undefined): (string | number)[] {
  const steps = (name ?? "").matchAll(/\[(-?\d+)\]|([^.[]+)/g);
  return [...steps].map(([, index, key]) => (index === undefined ? (key ?? "") : Number(index)));
}

function withValue(target: unknown, [step, ...rest]: readonly (string | number)[], value: unknown): unknown {
  if (step === undefined) {
    return value;
  }
  if (typeof step === "number") {
    const list: unknown[] = Array.isArray(target) ? [...(target as unknown[])] : [];
    if (step < 0 || step >= LONGEST_LIST) {
      throw new FormInputError(`A form fills the items 0 .. ${LONGEST_LIST - 1} of a list, found ${step}.`);
    }
    while (list.length <= step) {
      list.push(null);
    }
    list[step] = withValue(list[step], rest, value);
    return list;
  }
  const entries = new Map(Object.entries((target ?? {}) as Record<string, unknown>));
  entries.set(step, withValue(entries.get(step), rest, value));
  // fromEntries defines own properties, also for "__proto__".
  return Object.fromEntries(entries);
}
