import { nearestName } from "../../base/nearest-name.ts";
import { durationExpected, parseDuration } from "./duration.ts";
import type { Location, ProblemList } from "../source/problems.ts";
import {
  describeNode,
  literalValue,
  type MappingEntry,
  type MappingNode,
  type SourceNode,
} from "../source/source-tree.ts";

/** Names that are known in model-compose, but not supported here; with what to do instead, where that is no other of the names. */
export type Refused = readonly string[] | Readonly<Record<string, string>>;

const isList = (refused: Refused): refused is readonly string[] => Array.isArray(refused);

/**
 * Reads the keys of one mapping, each at most once, and reports what is wrong with positions: wrong types,
 * unknown keys with the nearest valid name, one value given in two places. A key whose value is empty counts as
 * absent.
 */
export class MappingReader {
  readonly node: MappingNode;
  /** Name of the mapping in messages, such as `component "writer"`. */
  readonly where: string;
  readonly #problems: ProblemList;
  readonly #known = new Set<string>();

  constructor(node: MappingNode, where: string, problems: ProblemList) {
    this.node = node;
    this.where = where;
    this.#problems = problems;
  }

  /** Whether the key is written, even with an empty value. Asking does not make the key known. */
  has(key: string): boolean {
    return this.node.entries.has(key);
  }

  take(key: string): MappingEntry | undefined {
    this.#known.add(key);
    const entry = this.node.entries.get(key);
    return entry?.value.kind === "scalar" && entry.value.value === null ? undefined : entry;
  }

  /** The value under one of several spellings of a key; two of them are an error. */
  takeOneOf(...keys: readonly string[]): (MappingEntry & { name: string }) | undefined {
    const given = keys.flatMap((name) => {
      const entry = this.take(name);
      return entry === undefined ? [] : [{ ...entry, name }];
    });
    const [first, second] = given;
    if (first !== undefined && second !== undefined) {
      this.#problems.invalid(
        `${this.where} has both "${first.name}" and "${second.name}", which mean the same.`,
        second.key,
        "Keep one of them.",
      );
    }
    return first;
  }

  /** A value without placeholders that `accepts`; anything else is a problem saying what was expected. */
  literal<T>(key: string, expected: string, accepts: (value: unknown) => value is T): T | undefined {
    const entry = this.take(key);
    return entry === undefined ? undefined : this.literalOf(key, entry.value, expected, accepts);
  }

  literalOf<T>(
    key: string,
    node: SourceNode,
    expected: string,
    accepts: (value: unknown) => value is T,
  ): T | undefined {
    const literal = literalValue(node);
    if (literal !== undefined && accepts(literal.value)) {
      return literal.value;
    }
    const remedy =
      literal === undefined ? "Only ${env.NAME} can stand here: it is read once, at load." : undefined;
    this.#problems.invalid(
      `${this.where}: "${key}" must be ${expected}, found ${describeNode(node)}.`,
      node.location,
      remedy,
    );
    return undefined;
  }

  text(key: string): string | undefined {
    return this.literal(key, "a text", isText);
  }

  /** A text for people, which may hold anything. */
  freeText(key: string): string | undefined {
    const entry = this.take(key);
    if (entry?.value.kind === "scalar" && entry.value.value !== null) {
      const literal = literalValue(entry.value);
      return String(literal === undefined ? entry.value.value : literal.value);
    }
    return this.text(key);
  }

  flag(key: string): boolean | undefined {
    return this.literal(key, "true or false", (value) => typeof value === "boolean");
  }

  integer(key: string, min: number, max?: number): number | undefined {
    const range = max === undefined ? `>= ${min}` : `in ${min} .. ${max}`;
    return this.literal(
      key,
      `an integer ${range}`,
      (value): value is number =>
        typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= (max ?? value),
    );
  }

  /** The milliseconds of a duration such as 5 (seconds), 500ms or 2m. */
  duration(key: string): number | undefined {
    const isDuration = (value: unknown): value is unknown => parseDuration(value) !== undefined;
    return parseDuration(this.literal(key, durationExpected, isDuration));
  }

  /**
   * One of the names that work here. A name in `refused` is known in model-compose, but not supported here; any
   * other is unknown. `refused` may say what to do instead of each.
   */
  choice<T extends string>(key: string, supported: readonly T[], refused: Refused = []): T | undefined {
    const entry = this.take(key);
    return entry === undefined ? undefined : this.choiceOf(key, entry.value, supported, refused);
  }

  choiceOf<T extends string>(
    key: string,
    node: SourceNode,
    supported: readonly T[],
    refused: Refused = [],
  ): T | undefined {
    const value = this.literalOf(key, node, `one of ${supported.join(", ")}`, isText);
    const found = supported.find((name) => name === value);
    if (found !== undefined || value === undefined) {
      return found;
    }
    const remedies = isList(refused)
      ? new Map(refused.map((name) => [name, `Supported: ${supported.join(", ")}.`]))
      : new Map(Object.entries(refused));
    const remedy = remedies.get(value);
    if (remedy !== undefined) {
      this.#problems.unsupported(
        `${this.where}: ${key} "${value}" is known in model-compose, but not supported here.`,
        node.location,
        remedy,
      );
      return undefined;
    }
    const near = nearestName(value, [...supported, ...remedies.keys()]);
    this.#problems.invalid(
      `${this.where}: ${key} "${value}" is unknown.`,
      node.location,
      near === undefined ? `Supported: ${supported.join(", ")}.` : `Did you mean "${near}"?`,
    );
    return undefined;
  }

  /** Accepts keys that configure the Python runtime of the Python model-compose, and that have no effect here. */
  withoutEffect(...keys: readonly string[]): void {
    for (const key of keys) {
      this.#known.add(key);
    }
  }

  /** Reports keys that are known in model-compose, but not supported here. */
  refuse(...keys: readonly string[]): void {
    for (const key of keys) {
      const entry = this.take(key);
      if (entry === undefined) {
        continue;
      }
      this.#problems.unsupported(
        `${this.where}: "${key}" is known in model-compose, but not supported here.`,
        entry.key,
        `Remove "${key}".`,
      );
    }
  }

  /** The reader of a nested mapping. */
  mapping(key: string, where: string): MappingReader | undefined {
    const entry = this.take(key);
    return entry === undefined ? undefined : this.mappingOf(key, entry.value, where);
  }

  mappingOf(key: string, node: SourceNode, where: string): MappingReader | undefined {
    if (node.kind === "mapping") {
      return new MappingReader(node, where, this.#problems);
    }
    this.#problems.invalid(
      `${this.where}: "${key}" must be a mapping, found ${describeNode(node)}.`,
      node.location,
    );
    return undefined;
  }

  /** The nodes under `one` (a single value) or `many` (a list); empty where neither is written. */
  oneOrMany(one: string, many: string): { key: string; node: SourceNode }[] {
    const entry = this.takeOneOf(many, one);
    if (entry === undefined) {
      return [];
    }
    if (entry.name === one) {
      return [{ key: one, node: entry.value }];
    }
    if (entry.value.kind === "list") {
      return entry.value.items.map((node) => ({ key: many, node }));
    }
    this.#problems.invalid(
      `${this.where}: "${many}" must be a list, found ${describeNode(entry.value)}.`,
      entry.value.location,
      `Write "${one}:" for a single one.`,
    );
    return [];
  }

  missing(key: string, remedy: string): void {
    this.#problems.invalid(`${this.where} has no "${key}".`, this.firstLine(), remedy);
  }

  /** The place of the mapping itself. */
  firstLine(): Location {
    const [first] = this.node.entries.values();
    return first?.key ?? this.node.location;
  }

  /** Reports the keys that nobody took. */
  finish(): void {
    const known = [...this.#known];
    for (const [key, entry] of this.node.entries) {
      if (this.#known.has(key)) {
        continue;
      }
      const near = nearestName(key, known);
      const hint =
        near === undefined ? `Valid here: ${known.toSorted().join(", ")}.` : `Did you mean "${near}"?`;
      this.#problems.unknownKey(
        `unknown key "${key}" in ${this.where}.`,
        entry.key,
        `${hint} (--lenient turns unknown keys into warnings.)`,
      );
    }
  }
}

export function isText(value: unknown): value is string {
  return typeof value === "string";
}
