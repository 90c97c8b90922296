import { UNDEFINED, type Value } from "./values.ts";

/** The variables that a part of a template sees: its own, and those of the parts around it. */
export class Scope {
  readonly #parent: Scope | undefined;
  readonly #variables = new Map<string, Value>();

  constructor(parent?: Scope, variables: Iterable<readonly [string, Value]> = []) {
    this.#parent = parent;
    for (const [name, value] of variables) {
      this.#variables.set(name, value);
    }
  }

  /** The value of a variable; one that is nowhere is undefined. */
  get(name: string): Value {
    return this.#variables.get(name) ?? this.#parent?.get(name) ?? UNDEFINED;
  }

  /** Assigns in this scope; one of the same name around it stays as it is. */
  set(name: string, value: Value): void {
    this.#variables.set(name, value);
  }
}
