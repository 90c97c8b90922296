/** Oniguruma's classes of characters, as the inside of a class in the `v` syntax of JavaScript's regular expressions. */
import { describeJson } from "../../../base/json.ts";
import { CodePointSet } from "../code-point-set.ts";
import { PatternError, type PatternNode } from "./syntax.ts";

/** `\w` in brackets, and all of it but six numerals outside (U+00B2, B3, B9, BC, BD, BE: so Oniguruma has it). */
const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}`;
export const WORD_OUTSIDE = String.raw`${WORD}\u00b2\u00b3\u00b9\u00bc\u00bd\u00be`;

/** Classes of one letter, as the inside of a class in JavaScript's `v` syntax. */
export const LETTER_CLASSES: Readonly<Record<string, string>> = {
  d: String.raw`\p{Nd}`,
  s: String.raw`\p{White_Space}`,
  w: WORD,
  h: "0-9A-Fa-f",
};

/** POSIX classes, for `[[:alpha:]]` and `\p{Alpha}`; Oniguruma's are Unicode's. */
export const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: String.raw`\p{Alphabetic}\p{Nd}`,
  alpha: String.raw`\p{Alphabetic}`,
  blank: String.raw`\p{Zs}\t`,
  cntrl: String.raw`\p{Cc}`,
  digit: String.raw`\p{Nd}`,
  lower: String.raw`\p{Lowercase}`,
  punct: String.raw`\p{P}\p{S}`,
  space: String.raw`\p{White_Space}`,
  upper: String.raw`\p{Uppercase}`,
  word: WORD,
  xdigit: "0-9A-Fa-f",
};

/** The inside of a class for the name of a property: a general category, a script, or a POSIX class. */
export function propertyClass(name: string): string {
  const posix = name.toLowerCase();
  if (posix === "punct") {
    return String.raw`\p{P}`; // unlike [[:punct:]]
  }
  if (Object.hasOwn(POSIX_CLASSES, posix)) {
    return POSIX_CLASSES[posix] ?? "";
  }
  const isCategory = /^(?:[A-Z][a-z]?|LC|Any|Emoji|Extended_Pictographic)$/.test(name);
  const source = isCategory ? `\\p{${name}}` : `\\p{Script=${name}}`;
  if (/^[A-Za-z_]+$/.test(name) && isValid(source)) {
    return source;
  }
  throw new PatternError(`has the property ${describeJson(name)}, which is not supported`);
}

function isValid(source: string): boolean {
  try {
    return new RegExp(source, "u").source !== "";
  } catch {
    return false;
  }
}

/**
 * A node of one character.
 *
 * @param inside the inside of a class in JavaScript's `v` syntax; may begin with `^`
 */
export function setOf(inside: string, ignoreCase: boolean, units?: 1 | 2): PatternNode {
  const expression = new RegExp(`^[${inside}]$`, ignoreCase ? "iv" : "v");
  return { type: "set", set: CodePointSet.matching(expression), units };
}
