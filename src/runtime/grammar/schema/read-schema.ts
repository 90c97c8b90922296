/** Reads JSON schemas (draft 2020-12, and what older drafts wrote differently) as shapes. */
import { isJsonObject } from "../../../base/json.ts";
import { formatPatterns, refusedFormats } from "../formats.ts";
import { tooComplex } from "../expressions.ts";
import { negationOf } from "./negation.ts";
import { keyOf, madeSchema, memberOf, unsupportedKeyword, wrongKeyword, type SchemaAt } from "./place.ts";
import { ReferenceTable } from "./references.ts";
import {
  areApart,
  constantShape,
  countOf,
  enumShape,
  itemsShape,
  numberOf,
  propertiesShape,
  typeShape,
  withArray,
  withNumber,
  withObject,
  withString,
} from "./keyword-shapes.ts";
import { anyValue, intersection, type Alternative, type Shape } from "./shape.ts";

/** Alternatives beyond this are refused: every combination of those of several keywords is one. */
const MOST_ALTERNATIVES = 4000;

/** Schemas that are read, one as often as it stands in a combination. */
const MOST_READS = 50_000;

/** Keywords that only say something about a schema, or hold schemas that others refer to. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  "$schema",
  "$id",
  "id",
  "$anchor",
  "$comment",
  "$defs",
  "$vocabulary",
  "definitions",
  "title",
  "description",
  "default",
  "examples",
  "example",
  "deprecated",
  "readOnly",
  "writeOnly",
  "contentEncoding",
  "contentMediaType",
  "contentSchema",
]);

const REFUSED: Readonly<Record<string, string>> = {
  unevaluatedProperties: "what other keywords have looked at is not known while the text is written",
  unevaluatedItems: "what other keywords have looked at is not known while the text is written",
  extends: "it is of draft 3",
  disallow: "it is of draft 3",
  divisibleBy: "it is of draft 3",
  $dynamicRef: "only $ref is followed",
  $recursiveRef: "only $ref is followed",
};

type Reader = (schema: SchemaAt, value: unknown, all: Readonly<Record<string, unknown>>) => Shape;

/** Two schemas of which a value may match one alone. */
export interface Exclusive {
  readonly schemas: readonly [SchemaAt, SchemaAt];
  /** What else a value must match. */
  readonly beside: readonly SchemaAt[];
  readonly pointer: string;
}

/** Reads the schemas of one document. */
export class SchemaReader {
  /** Pairs that are to be shown to have no value in common. */
  readonly exclusive: Exclusive[] = [];
  readonly #references: ReferenceTable;
  #reads = 0;
  readonly #open = new Set<string>();

  constructor(root: unknown) {
    this.#references = new ReferenceTable(root);
  }

  /**
   * What a value must be to match all of some schemas.
   *
   * @throws ModelComposeError "unsupported" for a keyword that is not enforced, "invalid-argument" for one that is wrong
   */
  read(schemas: readonly SchemaAt[]): Shape {
    return schemas.reduce<Shape>(
      (shape, schema) => this.#both(shape, this.#one(schema), schema.pointer),
      [anyValue],
    );
  }

  #one(at: SchemaAt): Shape {
    const { schema, pointer } = at;
    if (typeof schema === "boolean") {
      return schema ? [anyValue] : [];
    }
    if (!isJsonObject(schema)) {
      throw wrongKeyword(pointer, "schema", "an object or a boolean", schema);
    }
    const key = keyOf(at);
    this.#reads++;
    if (this.#reads > MOST_READS) {
      throw tooComplex();
    }
    if (this.#open.has(key)) {
      throw unsupportedKeyword(pointer, "$ref", "the schema refers to itself with nothing in between");
    }
    this.#open.add(key);
    try {
      let shape: Shape = [anyValue];
      for (const [keyword, value] of Object.entries(schema)) {
        shape = this.#both(shape, this.#keyword(at, keyword, value, schema), pointer);
      }
      return shape;
    } finally {
      this.#open.delete(key);
    }
  }

  #keyword(at: SchemaAt, keyword: string, value: unknown, all: Readonly<Record<string, unknown>>): Shape {
    const reader = Object.hasOwn(this.#readers, keyword) ? this.#readers[keyword] : undefined;
    if (reader !== undefined) {
      return reader(at, value, all);
    }
    const why = REFUSED[keyword];
    if (why !== undefined) {
      throw unsupportedKeyword(at.pointer, keyword, why);
    }
    // Keywords of others, as "x-order", are annotations.
    return [anyValue];
  }

  #both(a: Shape, b: Shape, pointer: string): Shape {
    if (a.length === 1 && a[0] === anyValue) {
      return b;
    }
    if (b.length === 1 && b[0] === anyValue) {
      return a;
    }
    if (a.length * b.length > MOST_ALTERNATIVES) {
      throw unsupportedKeyword(pointer, "anyOf", "together with others it has too many combinations");
    }
    return a.flatMap((one) => b.flatMap((other) => intersection(one, other) ?? []));
  }

  #any(schemas: readonly SchemaAt[], pointer: string): Shape {
    const shape = schemas.flatMap((schema) => this.#one(schema));
    if (shape.length > MOST_ALTERNATIVES) {
      throw unsupportedKeyword(pointer, "anyOf", "it has too many alternatives");
    }
    return shape;
  }

  #list(at: SchemaAt, keyword: string, value: unknown): SchemaAt[] {
    if (!Array.isArray(value) || value.length === 0) {
      throw wrongKeyword(at.pointer, keyword, "a list of schemas", value);
    }
    return value.map((_, i) => memberOf(at, keyword, i));
  }

  #not(at: SchemaAt): Shape {
    const { schemas, shape } = negationOf(at, this.#references);
    return [...shape, ...this.#any(schemas, at.pointer)];
  }

  readonly #readers: Readonly<Record<string, Reader>> = {
    type: (at, value) => typeShape(at, value),
    nullable: (at, value) => {
      if (value === true) {
        throw unsupportedKeyword(at.pointer, "nullable", 'JSON Schema writes it as a type list with "null"');
      }
      return [anyValue];
    },
    const: (at, value) => [constantShape(value, `${at.pointer}/const`)],
    enum: (at, value) => {
      if (!Array.isArray(value) || value.length === 0) {
        throw wrongKeyword(at.pointer, "enum", "a list of values", value);
      }
      return enumShape(value, `${at.pointer}/enum`);
    },
    $ref: (at, value) => this.#one(this.#references.resolve(at.pointer, value)),
    allOf: (at, value) => this.read(this.#list(at, "allOf", value)),
    anyOf: (at, value) => this.#any(this.#list(at, "anyOf", value), at.pointer),
    oneOf: (at, value, all) => this.#oneOf(at, this.#list(at, "oneOf", value), all),
    not: (at) => this.#not(memberOf(at, "not")),
    if: (at, _, all) => this.#conditional(at, all),
    then: () => [anyValue],
    else: () => [anyValue],
    dependentRequired: (at, value) => this.#dependent(at, "dependentRequired", value),
    dependentSchemas: (at, value) => this.#dependent(at, "dependentSchemas", value),
    dependencies: (at, value) => this.#dependent(at, "dependencies", value),
    minimum: (at, value, all) => {
      const bound = numberOf(at, "minimum", value);
      return withNumber(all.exclusiveMinimum === true ? { exclusiveMinimum: bound } : { minimum: bound });
    },
    maximum: (at, value, all) => {
      const bound = numberOf(at, "maximum", value);
      return withNumber(all.exclusiveMaximum === true ? { exclusiveMaximum: bound } : { maximum: bound });
    },
    // In draft 4 these are booleans beside the bounds.
    exclusiveMinimum: (at, value) =>
      typeof value === "boolean"
        ? [anyValue]
        : withNumber({ exclusiveMinimum: numberOf(at, "exclusiveMinimum", value) }),
    exclusiveMaximum: (at, value) =>
      typeof value === "boolean"
        ? [anyValue]
        : withNumber({ exclusiveMaximum: numberOf(at, "exclusiveMaximum", value) }),
    multipleOf: (at, value) => {
      const divisor = numberOf(at, "multipleOf", value);
      if (divisor <= 0) {
        throw wrongKeyword(at.pointer, "multipleOf", "a number above 0", value);
      }
      if (!Number.isInteger(divisor) || divisor > 1e9) {
        throw unsupportedKeyword(at.pointer, "multipleOf", "only integers up to 1e9 are");
      }
      return withNumber({ multipleOf: [divisor] });
    },
    minLength: (at, value) => withString({ least: countOf(at, "minLength", value) }),
    maxLength: (at, value) => withString({ most: countOf(at, "maxLength", value) }),
    pattern: (at, value) => {
      if (typeof value !== "string") {
        throw wrongKeyword(at.pointer, "pattern", "a text", value);
      }
      return withString({ patterns: [{ source: value, isWhole: false, isNot: false }] });
    },
    format: (at, value) => {
      if (typeof value !== "string") {
        throw wrongKeyword(at.pointer, "format", "a text", value);
      }
      if (refusedFormats.has(value)) {
        throw unsupportedKeyword(at.pointer, "format", `"${value}" is not known`);
      }
      if (value === "int32" || value === "int64") {
        // OpenAPI's; numbers of JSON texts hold no more than 2^53 exactly, so of the larger one it is enough to be an integer.
        const bounds = value === "int32" ? { minimum: -(2 ** 31), maximum: 2 ** 31 - 1 } : {};
        return withNumber({ integer: true, ...bounds });
      }
      const source = Object.hasOwn(formatPatterns, value) ? formatPatterns[value] : undefined;
      // Other formats than JSON Schema's are annotations.
      return source === undefined
        ? [anyValue]
        : withString({ patterns: [{ source, isWhole: true, isNot: false }] });
    },
    minItems: (at, value) => withArray({ least: countOf(at, "minItems", value) }),
    maxItems: (at, value) => withArray({ most: countOf(at, "maxItems", value) }),
    uniqueItems: (at, value) => {
      if (value === true) {
        throw unsupportedKeyword(
          at.pointer,
          "uniqueItems",
          "items that were there are not remembered while the text is written",
        );
      }
      return [anyValue];
    },
    contains: (at, _, all) => {
      const least = all.minContains ?? 1;
      if (least !== 1 || all.maxContains !== undefined) {
        throw unsupportedKeyword(at.pointer, "contains", "minContains and maxContains are not supported");
      }
      return withArray({ contains: [memberOf(at, "contains")] });
    },
    prefixItems: (at, _, all) => itemsShape(at, all),
    items: (at, _, all) => itemsShape(at, all),
    additionalItems: (at, _, all) => itemsShape(at, all),
    properties: (at, _, all) => propertiesShape(at, all),
    patternProperties: (at, _, all) => propertiesShape(at, all),
    additionalProperties: (at, _, all) => propertiesShape(at, all),
    propertyNames: (at) => withObject({ names: [memberOf(at, "propertyNames")] }),
    required: (at, value) => {
      // In draft 3 it is a boolean in the property's own schema, of which nobody knows any more what it was to mean.
      if (!Array.isArray(value) || !value.every((name) => typeof name === "string")) {
        throw wrongKeyword(at.pointer, "required", "a list of names", value);
      }
      return withObject({ required: [...new Set(value)] });
    },
    minProperties: (at, value) =>
      withObject({ least: countOf(at, "minProperties", value), pointer: at.pointer }),
    maxProperties: (at, value) => withObject({ most: countOf(at, "maxProperties", value) }),
  };

  /** One of several schemas alone: pairs that look as if they might have values in common are looked at later. */
  #oneOf(at: SchemaAt, schemas: readonly SchemaAt[], all: Readonly<Record<string, unknown>>): Shape {
    const others = Object.fromEntries(Object.entries(all).filter(([keyword]) => keyword !== "oneOf"));
    const beside = madeSchema(others, at.pointer);
    const shapes = schemas.map((schema) => this.#one(schema));
    const result: Alternative[] = [];
    for (const [i, schema] of schemas.entries()) {
      let shape = shapes[i] ?? [];
      for (const [j, other] of schemas.entries()) {
        if (i === j || areApart(shapes[i] ?? [], shapes[j] ?? [])) {
          continue;
        }
        const without = isSimple(other.schema) ? this.#tryNot(other) : undefined;
        if (without !== undefined) {
          shape = this.#both(shape, without, at.pointer);
        } else if (i < j || isSimple(schema.schema)) {
          this.exclusive.push({ schemas: [schema, other], beside: [beside], pointer: at.pointer });
        }
      }
      result.push(...shape);
    }
    return result;
  }

  #tryNot(schema: SchemaAt): Shape | undefined {
    try {
      return this.#not(schema);
    } catch {
      return undefined;
    }
  }

  #conditional(at: SchemaAt, all: Readonly<Record<string, unknown>>): Shape {
    const branch = (name: "then" | "else"): Shape =>
      all[name] === undefined ? [anyValue] : this.#one(memberOf(at, name));
    const condition = memberOf(at, "if");
    return [
      ...this.#both(this.#one(condition), branch("then"), at.pointer),
      ...this.#both(this.#not(condition), branch("else"), at.pointer),
    ];
  }

  /** Where a property is there, others must be too, or a schema must match. */
  #dependent(at: SchemaAt, keyword: string, value: unknown): Shape {
    if (!isJsonObject(value)) {
      throw wrongKeyword(at.pointer, keyword, "an object", value);
    }
    return Object.entries(value).reduce<Shape>(
      (shape, [name, needs]) => {
        const place = memberOf(at, keyword, name);
        const absent = madeSchema({ properties: { [name]: false } }, place.pointer);
        const present = madeSchema({ required: [name] }, place.pointer);
        const needed = Array.isArray(needs) ? madeSchema({ required: needs }, place.pointer) : place;
        const either = [...this.#one(absent), ...this.read([present, needed])];
        return this.#both(shape, either, at.pointer);
      },
      [anyValue],
    );
  }
}

/** Whether negating a schema makes few alternatives of it. */
const isSimple = (schema: unknown): boolean =>
  isJsonObject(schema) &&
  Object.keys(schema).filter((key) => !ANNOTATIONS.has(key)).length <= 2 &&
  Object.keys(schema.properties ?? {}).length <= 2;
