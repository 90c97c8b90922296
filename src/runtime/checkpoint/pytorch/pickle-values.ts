/**
 * Python's values as the pickle reader gives them: None is null, a bool a boolean, an int a number (a bigint beyond 2^53),
 * a str a string; everything else is one of these. What a builder made of a class stands for itself.
 */

/** A float; an int is a plain number. */
export class PyFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export class PyTuple {
  readonly items: readonly unknown[];

  constructor(items: readonly unknown[]) {
    this.items = items;
  }
}

export class PyList {
  readonly items: unknown[] = [];
}

/** A dict or an OrderedDict. Keys are compared as JavaScript's Map does, which is enough for str and int. */
export class PyDict {
  /** The map, made with the first entry: a hostile pickle holds many dicts, most of them empty. */
  #entries: Map<unknown, unknown> | undefined;

  get size(): number {
    return this.#entries?.size ?? 0;
  }

  get entries(): ReadonlyMap<unknown, unknown> {
    return (this.#entries ??= new Map());
  }

  /** Adds an entry. Returns false when there is such a key already; nothing is changed then. */
  add(key: unknown, value: unknown): boolean {
    this.#entries ??= new Map();
    if (this.#entries.has(key)) {
      return false;
    }
    this.#entries.set(key, value);
    return true;
  }
}

/** What a value is, in a few words, for messages. Looks at nothing within it. */
export function describePython(value: unknown): string {
  if (value === null) {
    return "None";
  }
  if (typeof value === "boolean") {
    return value ? "True" : "False";
  }
  if (typeof value === "number" || typeof value === "bigint") {
    return `the number ${value}`;
  }
  if (typeof value === "string") {
    return value.length <= 80 ? JSON.stringify(value) : `a str of ${value.length} characters`;
  }
  if (value instanceof PyFloat) {
    return `the float ${value.value}`;
  }
  if (value instanceof PyTuple) {
    return `a tuple of ${value.items.length}`;
  }
  if (value instanceof PyList) {
    return `a list of ${value.items.length}`;
  }
  if (value instanceof PyDict) {
    return `a dict of ${value.size}`;
  }
  if (value instanceof Uint8Array) {
    return `${value.length} bytes`;
  }
  return "an object";
}
