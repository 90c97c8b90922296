/** What a text is to be: a JSON text of a schema, a text of a regular expression, one of several texts. */
import { ModelComposeError } from "../../base/errors.ts";
import { PlainAlphabet } from "./characters.ts";
import { Expressions, type Expression } from "./expressions.ts";
import { PatternError, patternExpression } from "./pattern.ts";
import { unsupportedKeyword, wrongKeyword } from "./schema/place.ts";
import { SchemaReader } from "./schema/read-schema.ts";
import { ShapeWriter } from "./schema/write-shape.ts";

/** A text that is asked for. */
export type Constraint =
  | { readonly kind: "json"; readonly schema: unknown }
  | { readonly kind: "regex"; readonly pattern: string }
  | { readonly kind: "choice"; readonly texts: readonly string[] };

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
  const expressions = new Expressions();
  if (compiledKey(constraint).length > MOST_CHARACTERS) {
    throw new ModelComposeError(
      "unsupported",
      "The grammar of the text is longer than two million characters.",
      {
        remedy: "Make it smaller.",
      },
    );
  }
  switch (constraint.kind) {
    case "json":
      return jsonAutomaton(expressions, constraint.schema);
    case "regex":
      return regexAutomaton(expressions, constraint.pattern);
    case "choice": {
      const encoder = new TextEncoder();
      const texts = constraint.texts.map((text) => expressions.literal(encoder.encode(text)));
      return { expressions, start: expressions.either(texts), stringCharacter: undefined };
    }
  }
}

function regexAutomaton(expressions: Expressions, pattern: string): Automaton {
  let start;
  try {
    start = patternExpression(pattern, new PlainAlphabet(expressions), { whole: true });
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
  if (!expressions.isLive(start)) {
    throw new ModelComposeError("invalid-argument", 'The option "regex" matches no text at all.', {
      remedy: "Correct it.",
      parameter: "regex",
    });
  }
  return { expressions, start, stringCharacter: undefined };
}

function jsonAutomaton(expressions: Expressions, schema: unknown): Automaton {
  const reader = new SchemaReader(schema);
  const writer = new ShapeWriter(expressions, reader);
  const start = writer.value([{ schema, pointer: "" }]);
  // This looks at every schema that a text can come to, and so reads and writes them all.
  writer.writeAll();
  for (let i = 0; i < reader.exclusive.length; i++) {
    const { schemas, beside, pointer } = reader.exclusive[i] ?? { schemas: [], beside: [], pointer: "" };
    const both = writer.value([...schemas, ...beside]);
    writer.writeAll();
    if (expressions.isLive(both)) {
      throw unsupportedKeyword(pointer, "oneOf", "a value may match several of its schemas");
    }
  }
  if (!expressions.isLive(start)) {
    throw wrongKeyword("", "schema", "one that some value matches", schema);
  }
  return { expressions, start, stringCharacter: writer.characters.any };
}
