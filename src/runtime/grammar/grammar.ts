/** What a text is to be: a JSON text of a schema, a text of a regular expression, one of several texts. */
import { ModelComposeError, withoutRemedy } from "../../base/errors.ts";
import { PlainAlphabet } from "./characters.ts";
import { Expressions, type Expression } from "./expressions.ts";
import { PatternError, patternExpression } from "./pattern.ts";
import { unsupportedKeyword, wrongKeyword } from "./schema/place.ts";
import { SchemaReader } from "./schema/read-schema.ts";
import { ShapeWriter } from "./schema/write-shape.ts";

/** A text that is asked for. */
export type Constraint =
  | {
      readonly kind: "json";
      readonly schema: unknown;
      /** Whose schema it is, for messages; absent: the option "jsonSchema" has it. */
      readonly owner?: { readonly name: string; readonly parameter: string };
      /** What the text is where the schema cannot be enforced. Absent: that is an error. */
      readonly otherwise?: Constraint;
    }
  | { readonly kind: "regex"; readonly pattern: string }
  | { readonly kind: "choice"; readonly texts: readonly string[] }
  /** Any text in which none of these occurs. */
  | { readonly kind: "without"; readonly texts: readonly string[] }
  /** Any text but those of a form, which has no JSON in it. */
  | { readonly kind: "other"; readonly than: Constraint }
  /** Texts one behind the other. */
  | { readonly kind: "sequence"; readonly parts: readonly Constraint[] }
  /** A text of one of several forms. */
  | { readonly kind: "either"; readonly of: readonly Constraint[] }
  /** Texts of one form one behind the other; `most`: null: without bound. */
  | {
      readonly kind: "repeat";
      readonly of: Constraint;
      readonly least: number;
      readonly most: number | null;
    };

/** Equal texts are equal constraints. */
export const compiledKey = (constraint: Constraint): string => JSON.stringify(constraint);

/** An automaton: its expressions, and the one that stands for the whole text. */
export interface Automaton {
  readonly expressions: Expressions;
  readonly start: Expression;
  /** Any one character of a JSON string. */
  readonly stringCharacter: Expression | undefined;
}

/** JSON schemas, patterns and lists longer than this are refused before they are read. */
const MOST_CHARACTERS = 2_000_000;

/**
 * Compiles what a text is to be.
 *
 * @throws ModelComposeError "unsupported" for what cannot be enforced, naming it and its place, "invalid-argument" for what is
 *   wrong or has no text
 */
export function compileConstraint(constraint: Constraint): Automaton {
  if (compiledKey(constraint).length > MOST_CHARACTERS) {
    throw new ModelComposeError(
      "unsupported",
      "The grammar of the text is longer than two million characters.",
      {
        remedy: "Make it smaller.",
      },
    );
  }
  const compiler = new Compiler();
  const start = compiler.expression(constraint);
  return { expressions: compiler.expressions, start, stringCharacter: compiler.stringCharacter };
}

/** Writes constraints as expressions of one automaton. */
class Compiler {
  readonly expressions = new Expressions();
  readonly #alphabet = new PlainAlphabet(this.expressions);
  /** Any one character of a JSON string, where there are any. */
  stringCharacter: Expression | undefined;

  expression(constraint: Constraint): Expression {
    const x = this.expressions;
    switch (constraint.kind) {
      case "json":
        return this.#jsonOr(constraint);
      case "regex":
        return this.#regex(constraint.pattern);
      case "choice":
        return x.either(constraint.texts.map((text) => x.literal(this.#alphabet.bytesOf(text))));
      case "without": {
        const texts = constraint.texts.map((text) => x.literal(this.#alphabet.bytesOf(text)));
        return this.#anyBut(x.all(x.anything, x.either(texts), x.anything));
      }
      case "other":
        return this.#anyBut(this.expression(constraint.than));
      case "sequence":
        return x.all(...constraint.parts.map((part) => this.expression(part)));
      case "either":
        return x.either(constraint.of.map((each) => this.expression(each)));
      case "repeat":
        return x.repeat(this.expression(constraint.of), constraint.least, constraint.most ?? Infinity);
    }
  }

  /** All texts but some; an expression of bytes that are no characters has no text. */
  #anyBut(texts: Expression): Expression {
    const x = this.expressions;
    return x.both([x.repeat(this.#alphabet.any, 0, Infinity), x.not(texts)]);
  }

  #regex(pattern: string): Expression {
    let expression;
    try {
      expression = patternExpression(pattern, this.#alphabet, { whole: true });
    } catch (error) {
      if (!(error instanceof PatternError)) {
        throw error;
      }
      throw new ModelComposeError(
        "invalid-argument",
        `The option "regex" cannot be followed: ${error.message}.`,
        {
          remedy: "Write it without that.",
          parameter: "regex",
          cause: error,
        },
      );
    }
    if (!this.expressions.isLive(expression)) {
      throw new ModelComposeError("invalid-argument", 'The option "regex" matches no text at all.', {
        remedy: "Correct it.",
        parameter: "regex",
      });
    }
    return expression;
  }

  #jsonOr({ schema, owner, otherwise }: Extract<Constraint, { kind: "json" }>): Expression {
    try {
      return this.#json(schema);
    } catch (error) {
      if (!(error instanceof ModelComposeError)) {
        throw error;
      }
      if (otherwise !== undefined && error.code === "unsupported") {
        return this.expression(otherwise);
      }
      if (owner === undefined) {
        throw error;
      }
      const { code, remedy, cause } = error;
      const { name, parameter } = owner;
      throw new ModelComposeError(code, `${name}: ${withoutRemedy(error)}`, { remedy, parameter, cause });
    }
  }

  #json(schema: unknown): Expression {
    const reader = new SchemaReader(schema);
    const writer = new ShapeWriter(this.expressions, reader);
    const value = writer.value([{ schema, pointer: "" }]);
    // This looks at every schema that a text can come to, and so reads and writes them all.
    writer.writeAll();
    for (let i = 0; i < reader.exclusive.length; i++) {
      const { schemas, beside, pointer } = reader.exclusive[i] ?? { schemas: [], beside: [], pointer: "" };
      const both = writer.value([...schemas, ...beside]);
      writer.writeAll();
      if (this.expressions.isLive(both)) {
        throw unsupportedKeyword(pointer, "oneOf", "a value may match several of its schemas");
      }
    }
    if (!this.expressions.isLive(value)) {
      throw wrongKeyword("", "schema", "one that some value matches", schema);
    }
    this.stringCharacter = writer.characters.any;
    return value;
  }
}
