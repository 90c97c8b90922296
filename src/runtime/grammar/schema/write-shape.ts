/** Writes what schemas allow as expressions over the bytes of JSON texts. */
import { JsonAlphabet, complement, type CodePoints } from "../characters.ts";
import { tooComplex, type Expression, type Expressions } from "../expressions.ts";
import { NumberWriter } from "../numbers.ts";
import { PatternError, patternExpression } from "../pattern.ts";
import { ObjectWriter, type ValueWriter } from "./write-object.ts";
import { keyOf, unsupportedKeyword, type SchemaAt } from "./place.ts";
import type { SchemaReader } from "./read-schema.ts";
import type { Alternative, ArrayShape, Below, NumberShape, Shape, StringShape } from "./shape.ts";

const ENCODER = new TextEncoder();

/** The most positions of a list that are told apart. */
const MOST_PREFIX = 1000;
/** Combinations of schemas that values are held to. */
const MOST_VALUES = 20_000;
/** Every set of schemas that items have matched is told apart. */
const MOST_CONTAINED = 5;

/**
 * Writes the expressions of one document's schemas. A JSON text is written on one line: strings and numbers as
 * `JSON.stringify` writes them, properties in the order of the schema, others behind them, and a space, or none, behind ","
 * and ":".
 */
export class ShapeWriter implements ValueWriter {
  readonly x: Expressions;
  readonly characters: JsonAlphabet;
  readonly #reader: SchemaReader;
  readonly #numbers: NumberWriter;
  readonly #objects: ObjectWriter;
  readonly #values = new Map<string, Expression>();
  readonly #shapes = new Map<string, Shape>();
  readonly #patterns = new Map<string, Expression>();
  readonly #unwritten: Expression[] = [];
  readonly #quote: Expression;
  /** "," and ":" with the space that may follow. */
  readonly comma: Expression;
  readonly colon: Expression;

  constructor(expressions: Expressions, reader: SchemaReader) {
    this.x = expressions;
    this.#reader = reader;
    this.characters = new JsonAlphabet(expressions);
    this.#numbers = new NumberWriter(expressions);
    this.#quote = this.text('"');
    const space = expressions.optional(this.text(" "));
    this.comma = expressions.sequence(this.text(","), space);
    this.colon = expressions.sequence(this.text(":"), space);
    this.#objects = new ObjectWriter(this);
  }

  text(text: string): Expression {
    return this.x.literal(ENCODER.encode(text));
  }

  /** What matches all of some schemas. */
  shape(below: Below): Shape {
    const key = keyOfAll(below);
    let shape = this.#shapes.get(key);
    if (shape === undefined) {
      shape = this.#reader.read(below);
      this.#shapes.set(key, shape);
    }
    return shape;
  }

  /** A value that matches all of some schemas. */
  value(below: Below): Expression {
    const key = keyOfAll(below);
    let value = this.#values.get(key);
    if (value === undefined) {
      value = this.x.reference(() => this.#written(this.shape(below)));
      this.#unwritten.push(value);
      if (this.#values.size > MOST_VALUES) {
        throw tooComplex();
      }
      this.#values.set(key, value);
    }
    return value;
  }

  /** Writes all values that are referred to, so that whatever is refused is refused now. */
  writeAll(): void {
    for (let next = this.#unwritten.pop(); next !== undefined; next = this.#unwritten.pop()) {
      this.x.write(next);
    }
  }

  #written(shape: Shape): Expression {
    return this.x.either(shape.flatMap((alternative) => this.#alternative(alternative)));
  }

  #alternative({ null: isNull, boolean, number, string, array, object }: Alternative): Expression[] {
    return [
      ...(isNull === true ? [this.text("null")] : []),
      ...(boolean ?? []).map((value) => this.text(String(value))),
      ...(number === undefined ? [] : [this.#number(number)]),
      ...(string === undefined ? [] : [this.quoted(this.string(string))]),
      ...(array === undefined ? [] : [this.#array(array)]),
      ...(object === undefined ? [] : [this.#objects.object(object)]),
    ];
  }

  quoted(content: Expression): Expression {
    return this.x.all(this.#quote, content, this.#quote);
  }

  #number(shape: NumberShape): Expression {
    const { values, excluded } = shape;
    if (values !== undefined) {
      const allowed = values.filter((value) => isWithin(value, shape) && !excluded.includes(value));
      return this.x.either(allowed.map((value) => this.text(JSON.stringify(value))));
    }
    return this.#numbers.number(shape);
  }

  /** The content of a string, between its quotes. */
  string({ least, most, patterns, values, excluded }: StringShape): Expression {
    const { x, characters } = this;
    const parts = patterns.map(({ source, isWhole, isNot }) => {
      const pattern = this.pattern(source, isWhole);
      return isNot ? x.not(pattern) : pattern;
    });
    if (values !== undefined) {
      parts.push(x.either(values.map((value) => x.literal(characters.bytesOf(value)))));
    } else if (excluded.length > 0) {
      parts.push(this.otherThan(excluded));
    }
    const isFree = patterns.every(({ isNot }) => isNot) && values === undefined && excluded.length === 0;
    if (least > 0 || most < Infinity || isFree) {
      parts.push(x.repeat(characters.any, least, most));
    }
    if (values !== undefined) {
      parts.push(...excluded.map((value) => x.not(x.literal(characters.bytesOf(value)))));
    }
    return x.both(parts);
  }

  /** @throws ModelComposeError "unsupported" for a pattern that cannot be followed */
  pattern(source: string, isWhole = false): Expression {
    const key = `${String(isWhole)} ${source}`;
    let pattern = this.#patterns.get(key);
    if (pattern === undefined) {
      try {
        pattern = patternExpression(source, this.characters, { whole: isWhole });
      } catch (error) {
        throw error instanceof PatternError ? unsupportedKeyword(source, "pattern", error.message) : error;
      }
      this.#patterns.set(key, pattern);
    }
    return pattern;
  }

  /** The content of all strings but some. */
  otherThan(texts: readonly string[]): Expression {
    const { x, characters } = this;
    const any = x.repeat(characters.any, 0, Infinity);
    const rest = (behind: readonly (readonly number[])[]): Expression => {
      if (behind.length === 0) {
        return any;
      }
      const first = [...new Set(behind.flatMap((points) => points.slice(0, 1)))];
      const taken: CodePoints = first.map((point) => [point, point]);
      return x.either([
        behind.some((points) => points.length === 0) ? x.nothing : x.empty,
        ...first.map((point) =>
          x.sequence(
            characters.oneOf([[point, point]]),
            rest(behind.filter((points) => points[0] === point).map((points) => points.slice(1))),
          ),
        ),
        x.sequence(characters.oneOf(complement(taken)), any),
      ]);
    };
    return rest(texts.map((text) => Array.from(text, (character) => character.codePointAt(0) ?? 0)));
  }

  #array({ parts, least, most, contains }: ArrayShape): Expression {
    const { x } = this;
    const prefix = Math.max(0, ...parts.map((part) => part.prefix.length));
    if (prefix > MOST_PREFIX) {
      const { pointer } = parts.flatMap((part) => part.prefix)[0] ?? { pointer: "" };
      throw unsupportedKeyword(pointer, "prefixItems", `there are more than ${MOST_PREFIX}`);
    }
    const [contained] = contains;
    if (contained !== undefined && contains.length > MOST_CONTAINED) {
      throw unsupportedKeyword(contained.pointer, "contains", `more than ${MOST_CONTAINED} at one place`);
    }
    const close = this.text("]");
    const below = (i: number): SchemaAt[] => parts.flatMap((part) => part.prefix[i] ?? part.rest ?? []);
    const item = (i: number, also: readonly SchemaAt[]): Expression =>
      x.sequence(i === 0 ? x.empty : this.comma, this.value([...below(i), ...also]));
    // Without an item to look for, items behind the prefix are told apart by a counter alone.
    if (contained === undefined) {
      let rest = x.empty;
      const first = Math.max(prefix, 1);
      rest = x.repeat(item(first, []), Math.max(0, least - first), Math.max(0, most - first));
      for (let i = first - 1; i >= 0; i--) {
        const more = i < most ? x.sequence(item(i, []), rest) : x.nothing;
        rest = x.either([i >= least ? x.empty : x.nothing, more]);
      }
      return x.all(this.text("["), rest, close);
    }
    const counted = Math.max(prefix, 1, least, most === Infinity ? 0 : most);
    if (counted > MOST_PREFIX) {
      throw unsupportedKeyword(contained.pointer, "contains", "beside a bound of more than a thousand items");
    }
    const tails = new Map<string, Expression>();
    const sets = Array.from({ length: 1 << contains.length }, (_, set) => set);
    const all = sets.length - 1;
    /** @param found which of those that must be there have been, a bit each */
    const tail = (i: number, found: number): Expression => {
      const at = Math.min(i, counted);
      const key = `${at} ${found}`;
      let made = tails.get(key);
      if (made === undefined) {
        made = x.reference(() =>
          x.either([
            found === all && at >= least ? close : x.nothing,
            ...(at < most ? sets.filter((set) => (set & found) === 0) : []).map((set) => {
              const also = contains.filter((_, bit) => (set & (1 << bit)) !== 0);
              return x.sequence(item(at, also), tail(at + 1, found | set));
            }),
          ]),
        );
        tails.set(key, made);
      }
      return made;
    };
    return x.sequence(this.text("["), tail(0, 0));
  }
}

const keyOfAll = (below: Below): string =>
  // The root's pointer is empty; no schema at all is another thing.
  [...new Set(below.map((at) => `#${keyOf(at)}`))].sort().join("\n");

function isWithin(value: number, shape: NumberShape): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, integer } = shape;
  const { multipleOf, notMultipleOf } = shape;
  return (
    value >= (minimum ?? -Infinity) &&
    value <= (maximum ?? Infinity) &&
    value > (exclusiveMinimum ?? -Infinity) &&
    value < (exclusiveMaximum ?? Infinity) &&
    (!integer || Number.isInteger(value)) &&
    multipleOf.every((divisor) => value % divisor === 0) &&
    notMultipleOf.every((divisor) => value % divisor !== 0)
  );
}
