/** A part of tokenizer.json (a normalizer, a pre-tokenizer, …), read with checks whose errors name it. */
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { Pattern } from "./pattern/pattern.ts";
import { literalPattern, parsePattern } from "./pattern/parse.ts";
import { PatternError } from "./pattern/syntax.ts";

/** How deep sequences may lie in sequences. */
const MOST_DEPTH = 16;

/** How many steps a part of tokenizer.json may have. */
const MOST_STEPS = 256;

/** One step of a part: what `type` names. */
export class Part {
  readonly type: string;
  readonly #json: JsonObject;
  /** What errors call it: `the normalizer Replace`. */
  readonly #name: string;
  readonly #file: string;

  constructor(json: JsonObject, type: string, role: string, file: string) {
    this.type = type;
    this.#json = json;
    this.#name = `the ${role} ${describeJson(type)}`;
    this.#file = file;
  }

  has(key: string): boolean {
    const value = this.#json[key];
    return value !== undefined && value !== null;
  }

  flag(key: string, byDefault?: boolean): boolean {
    const value = this.has(key) ? this.#json[key] : byDefault;
    return typeof value === "boolean" ? value : this.#wrong(key, "true or false");
  }

  text(key: string): string {
    const value = this.#json[key];
    return typeof value === "string" ? value : this.#wrong(key, "a text");
  }

  /** A text of one code point. */
  character(key: string, byDefault?: string): string {
    const value = this.has(key) || byDefault === undefined ? this.text(key) : byDefault;
    return [...value].length === 1 ? value : this.#wrong(key, "one character");
  }

  /** One of several texts. */
  oneOf<T extends string>(key: string, values: readonly T[], byDefault?: T): T {
    const value = this.has(key) ? this.#json[key] : byDefault;
    const known = values.find((one) => one === value);
    return known ?? this.#wrong(key, `one of ${values.map((one) => `"${one}"`).join(", ")}`);
  }

  /** An integer, `least` to 2^31 - 1. */
  count(key: string, least: number, byDefault?: number): number {
    const value = this.has(key) ? this.#json[key] : byDefault;
    const isCount = typeof value === "number" && Number.isInteger(value) && value >= least && value < 2 ** 31;
    return isCount ? value : this.#wrong(key, `an integer >= ${least}`);
  }

  list(key: string): unknown[] {
    const value = this.#json[key];
    return Array.isArray(value) ? value : this.#wrong(key, "a list");
  }

  object(key: string): JsonObject {
    const value = this.#json[key];
    return isJsonObject(value) ? value : this.#wrong(key, "an object");
  }

  /** What `{"String": …}` or `{"Regex": …}` matches. */
  pattern(key: string): Pattern {
    const value = this.object(key);
    if (Object.keys(value).length !== 1) {
      return this.#wrong(key, '{"String": "…"} or {"Regex": "…"}');
    }
    try {
      if (typeof value.String === "string") {
        return new Pattern(literalPattern(value.String));
      }
      if (typeof value.Regex === "string") {
        return new Pattern(parsePattern(value.Regex));
      }
    } catch (error) {
      if (!(error instanceof PatternError)) {
        throw error;
      }
      throw this.unsupported(
        `has the pattern ${describeJson(value.Regex ?? value.String)}, which ${error.message}`,
      );
    }
    return this.#wrong(key, '{"String": "…"} or {"Regex": "…"}');
  }

  /** The error for something that exists and is not done here: `found` is the end of a sentence that begins with the part. */
  unsupported(found: string): ModelComposeError {
    return new ModelComposeError("unsupported", `"${this.#file}" cannot be used: ${this.#name} ${found}.`, {
      remedy: "Use a model whose tokenizer is of another kind.",
    });
  }

  /** The error for something that no tokenizer can mean. */
  corrupt(found: string): ModelComposeError {
    return new ModelComposeError("invalid-config", `"${this.#file}": ${this.#name} ${found}.`, {
      remedy: "The file is corrupt or was edited: fetch it again.",
    });
  }

  #wrong(key: string, expected: string): never {
    throw this.corrupt(`has ${describeJson(this.#json[key])} as "${key}"; expected ${expected}`);
  }
}

/**
 * The steps of a part: what it is made of, if it is a sequence.
 *
 * @param value of tokenizer.json; null and undefined are no steps
 * @param role what errors call it: "normalizer"
 * @param listKey where a sequence has its steps
 */
export function stepsOf(value: unknown, role: string, listKey: string, file: string): Part[] {
  const steps: Part[] = [];
  const read = (one: unknown, depth: number): void => {
    if (!isJsonObject(one) || typeof one.type !== "string") {
      throw new ModelComposeError(
        "invalid-config",
        `"${file}" has ${describeJson(one)} as ${role}; expected an object with a "type".`,
        { remedy: "The file is corrupt or was edited: fetch it again." },
      );
    }
    const part = new Part(one, one.type, role, file);
    if (one.type !== "Sequence") {
      steps.push(part);
      if (steps.length > MOST_STEPS) {
        throw part.corrupt(`is one of more than ${MOST_STEPS} steps`);
      }
      return;
    }
    if (depth >= MOST_DEPTH) {
      throw part.corrupt(`lies in more than ${MOST_DEPTH} others`);
    }
    for (const inner of part.list(listKey)) {
      read(inner, depth + 1);
    }
  };
  if (value !== undefined && value !== null) {
    read(value, 0);
  }
  return steps;
}
