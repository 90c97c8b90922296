/** Binds the arguments of functions, filters and tests to the names of their parameters, as Python does. */
import { nameOf, NONE, UNDEFINED, type Arguments, type Value } from "./values.ts";

/** The arguments of one call. A parameter that has no argument, or None, takes its default. */
export class BoundArguments<Name extends string> {
  readonly #call: string;
  readonly #values: ReadonlyMap<string, Value>;

  constructor(call: string, values: ReadonlyMap<string, Value>) {
    this.#call = call;
    this.#values = values;
  }

  /** The value of a parameter; undefined without an argument. */
  get(name: Name): Value | undefined {
    return this.#values.get(name);
  }

  /** The value of a parameter. @throws Error without an argument */
  require(name: Name): Value {
    const value = this.#values.get(name);
    if (value === undefined) {
      throw new Error(`${this.#call} needs the argument "${name}"`);
    }
    return value;
  }

  requireText(name: Name): string {
    this.require(name);
    return this.text(name) ?? this.#refuse(name, "a text", NONE);
  }

  text(name: Name): string | undefined {
    const value = this.#given(name);
    return value === undefined || value.kind === "text" ? value?.value : this.#refuse(name, "a text", value);
  }

  integer(name: Name): number | undefined {
    const value = this.#given(name);
    if (value === undefined || value.kind === "integer" || value.kind === "boolean") {
      return value === undefined ? undefined : Number(value.value);
    }
    return this.#refuse(name, "an integer", value);
  }

  flag(name: Name): boolean | undefined {
    const value = this.#given(name);
    return value === undefined || value.kind === "boolean"
      ? value?.value
      : this.#refuse(name, "true or false", value);
  }

  #given(name: Name): Value | undefined {
    const value = this.#values.get(name);
    return value?.kind === "none" ? undefined : value;
  }

  #refuse(name: Name, expected: string, found: Value): never {
    throw new Error(`${this.#call}: the argument "${name}" is ${nameOf(found)}; expected ${expected}`);
  }
}

/**
 * Binds arguments to the names of the parameters that they are for.
 *
 * @param call the function's name, for messages
 * @throws Error for an argument too many, one that no parameter takes, and two for one parameter
 */
export function bind<Name extends string>(
  call: string,
  { positional, named }: Arguments,
  parameters: readonly Name[],
): BoundArguments<Name> {
  if (positional.length > parameters.length) {
    throw new Error(`${call} takes at most ${parameters.length} arguments; found ${positional.length}`);
  }
  const values = new Map<string, Value>(positional.map((value, i) => [parameters[i], value]));
  for (const [name, value] of named) {
    if (!parameters.some((parameter) => parameter === name)) {
      throw new Error(`${call} has no argument "${name}"; expected ${parameters.join(", ") || "none"}`);
    }
    if (values.has(name)) {
      throw new Error(`${call} has the argument "${name}" twice`);
    }
    values.set(name, value);
  }
  return new BoundArguments(call, values);
}

/** The arguments without the first, which is taken for something else; undefined where there is none. */
export function shift({ positional: [first, ...rest], named }: Arguments): {
  first: Value;
  rest: Arguments;
} {
  return { first: first ?? UNDEFINED, rest: { positional: rest, named } };
}
