import { HttpError } from "./http-error.ts";

/** The names through which plain objects reach what is not their own. */
const forbidden = ["__proto__", "constructor", "prototype"];

/** The most characters of a field's name: longer than any that means something. It bounds how deep a name goes. */
const longestName = 500;

type Fields = Map<string, unknown>;

/**
 * The body that a form's fields mean: `input[prompt]=x` is an entry of an entry, `input[prompts][]=x` an item of a
 * list; of a field that comes twice, the last counts.
 *
 * @throws HttpError 422 naming the field
 */
export function bodyFromForm(fields: Iterable<readonly [string, unknown]>): unknown {
  const body: Fields = new Map();
  for (const [name, value] of fields) {
    if (typeof value !== "string") {
      throw new HttpError(422, `The field "${name}" is a file; uploads are not supported.`, { field: name });
    }
    put(body, stepsOf(name), value, name);
  }
  return plain(body);
}

/** The steps of a name: `a[b][]` is a, b and the empty name of an item. */
function stepsOf(name: string): string[] {
  const match = name.length > longestName ? null : /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name);
  if (match === null) {
    const shown = name.slice(0, 100);
    throw new HttpError(422, `The field "${shown}" is malformed; expected a name such as input[prompt].`, {
      field: shown,
    });
  }
  const [, first = "", rest = ""] = match;
  const steps = [first, ...[...rest.matchAll(/\[([^[\]]*)\]/g)].map(([, step = ""]) => step)];
  if (steps.some((step) => forbidden.includes(step))) {
    throw new HttpError(422, `The field "${name}" names what no field may be called.`, { field: name });
  }
  if (steps.slice(0, -1).includes("")) {
    throw new HttpError(422, `The field "${name}" has [] before its end; items of a list are plain values.`, {
      field: name,
    });
  }
  return steps;
}

function put(target: Fields, [step = "", ...rest]: readonly string[], value: string, name: string): void {
  const before = target.get(step);
  const clash = (): never => {
    throw new HttpError(422, `The field "${name}" gives "${step}" a second form.`, { field: name });
  };
  if (rest.length === 0) {
    if (typeof before === "object") {
      clash();
    }
    target.set(step, value);
  } else if (rest[0] === "") {
    const list: unknown = before ?? [];
    if (!Array.isArray(list)) {
      return clash();
    }
    target.set(step, [...(list as unknown[]), value]);
  } else {
    const entries = before ?? new Map<string, unknown>();
    if (!(entries instanceof Map)) {
      return clash();
    }
    put(entries as Fields, rest, value, name);
    target.set(step, entries);
  }
}

function plain(value: unknown): unknown {
  if (!(value instanceof Map)) {
    return value;
  }
  return Object.fromEntries([...(value as Fields)].map(([key, entry]) => [key, plain(entry)]));
}
