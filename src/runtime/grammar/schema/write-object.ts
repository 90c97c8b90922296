/** Writes objects: declared properties in the order of the schema, others behind them. */
import type { Alphabet } from "../characters.ts";
import type { Expression, Expressions } from "../expressions.ts";
import { unsupportedKeyword, type SchemaAt } from "./place.ts";
import type { Below, ObjectShape, PropertiesPart, Shape, StringShape } from "./shape.ts";

/** Every set of patterns that a name may match has values of its own. */
const MOST_PATTERNS = 6;

/** What writes the parts of an object. */
export interface ValueWriter {
  readonly x: Expressions;
  readonly characters: Alphabet;
  /** "," and ":" with the space that may follow. */
  readonly comma: Expression;
  readonly colon: Expression;
  text(text: string): Expression;
  quoted(content: Expression): Expression;
  shape(below: Below): Shape;
  value(below: Below): Expression;
  string(shape: StringShape): Expression;
  pattern(source: string): Expression;
  otherThan(texts: readonly string[]): Expression;
}

interface Property {
  readonly name: string;
  readonly isRequired: boolean;
  readonly entry: Expression;
}

export class ObjectWriter {
  readonly #writer: ValueWriter;

  constructor(writer: ValueWriter) {
    this.#writer = writer;
  }

  object(shape: ObjectShape): Expression {
    const { x } = this.#writer;
    const { required, least, most, pointer } = shape;
    const declared = new Set([...shape.parts.flatMap(({ named }) => [...named.keys()]), ...required]);
    const properties = [...declared].flatMap((name) => this.#property(shape, name) ?? []);
    const isPossible = required.every((name) => properties.some((property) => property.name === name));
    if (!isPossible || most < required.length || least > most) {
      return x.nothing;
    }
    const other = this.#others(shape, [...declared]);
    if (other !== x.nothing && least > required.length + 1) {
      // A name may come twice, which counts once: so others count as one, however many they are.
      throw unsupportedKeyword(pointer, "minProperties", "names that are not declared are not told apart");
    }
    return x.sequence(this.#writer.text("{"), this.#tails(properties, other, least, most));
  }

  #property(shape: ObjectShape, name: string): Property | undefined {
    const { x, characters } = this.#writer;
    const bytes = characters.bytesOf(name);
    const isNamed = this.#names(shape).every((names) => x.matches(names, bytes));
    const below = shape.parts.flatMap((part) => this.#belowName(part, name));
    if (!isNamed || this.#writer.shape(below).length === 0) {
      return undefined;
    }
    const key = this.#writer.quoted(x.literal(bytes));
    const entry = x.all(key, this.#writer.colon, this.#writer.value(below));
    return { name, isRequired: shape.required.includes(name), entry };
  }

  /** What strings the names may be, schema by schema. */
  #names({ names }: ObjectShape): Expression[] {
    const { x } = this.#writer;
    return names.map((at) =>
      x.either(
        this.#writer.shape([at]).flatMap(({ string }) => (string ? [this.#writer.string(string)] : [])),
      ),
    );
  }

  #belowName({ named, patterns, additional }: PropertiesPart, name: string): SchemaAt[] {
    const { x, characters } = this.#writer;
    const bytes = characters.bytesOf(name);
    const own = named.get(name);
    const found = [
      ...(own === undefined ? [] : [own]),
      ...patterns.filter(({ source }) => x.matches(this.#writer.pattern(source), bytes)).map(({ at }) => at),
    ];
    return found.length > 0 || additional === undefined ? found : [additional];
  }

  /** A property that is not declared. */
  #others(shape: ObjectShape, declared: readonly string[]): Expression {
    const { x } = this.#writer;
    const sources = [...new Set(shape.parts.flatMap(({ patterns }) => patterns.map(({ source }) => source)))];
    if (sources.length > MOST_PATTERNS) {
      const at = shape.parts.flatMap(({ patterns }) => patterns)[0]?.at;
      throw unsupportedKeyword(
        at?.pointer ?? "",
        "patternProperties",
        `more than ${MOST_PATTERNS} at one place`,
      );
    }
    const rest = this.#writer.otherThan(declared);
    const names = this.#names(shape);
    const options: Expression[] = [];
    for (let subset = 0; subset < 1 << sources.length; subset++) {
      const isIn = (source: string): boolean => (subset & (1 << sources.indexOf(source))) !== 0;
      const below = shape.parts.flatMap(({ patterns, additional }) => {
        const found = patterns.filter(({ source }) => isIn(source)).map(({ at }) => at);
        return found.length > 0 || additional === undefined ? found : [additional];
      });
      if (this.#writer.shape(below).length === 0) {
        continue;
      }
      const patterns = sources.map((source) => {
        const pattern = this.#writer.pattern(source);
        return isIn(source) ? pattern : x.not(pattern);
      });
      const name = x.both([rest, ...names, ...patterns]);
      options.push(x.all(this.#writer.quoted(name), this.#writer.colon, this.#writer.value(below)));
    }
    return x.either(options);
  }

  /** What follows "{". */
  #tails(properties: readonly Property[], other: Expression, least: number, most: number): Expression {
    const { x, comma } = this.#writer;
    const close = this.#writer.text("}");
    const tails = new Map<string, Expression>();
    // Numbers of properties are told apart as far as bounds make it necessary; at least the first is told from others.
    const mostDeclared = most === Infinity ? Math.max(1, least) : most;
    const mostOthers = most === Infinity ? 1 : most;
    const tail = (i: number, declared: number, others: number): Expression => {
      const a = Math.min(declared, mostDeclared);
      const b = Math.min(others, mostOthers);
      const key = `${i} ${a} ${b}`;
      let made = tails.get(key);
      if (made === undefined) {
        made = x.reference(() => written(i, a, b));
        tails.set(key, made);
      }
      return made;
    };
    const written = (i: number, declared: number, others: number): Expression => {
      const isFull = most !== Infinity && declared + others >= most;
      const separator = declared + others === 0 ? x.empty : comma;
      const property = properties[i];
      if (property !== undefined) {
        const taken = isFull
          ? x.nothing
          : x.all(separator, property.entry, tail(i + 1, declared + 1, others));
        return property.isRequired ? taken : x.either([taken, tail(i + 1, declared, others)]);
      }
      const isEnough = declared + Math.min(1, others) >= least;
      return x.either([
        isEnough ? close : x.nothing,
        isFull ? x.nothing : x.all(separator, other, tail(i, declared, others + 1)),
      ]);
    };
    return tail(0, 0, 0);
  }
}
