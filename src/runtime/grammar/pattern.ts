/** Regular expressions of ECMAScript as expressions over bytes. What has no linear automaton is refused by its text. */
import { RegExpParser, type AST } from "@eslint-community/regexpp";
import { clip } from "../../base/clip.ts";
import { complement, normalised, type Alphabet, type CodePoints } from "./characters.ts";
import type { Expression } from "./expressions.ts";

/** A pattern that is wrong or not supported; the message says why and is no sentence. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

/** Where a part of a pattern stands: at the beginning of the text, behind characters, or that depends. */
type Place = "start" | "inside" | "either";

const DIGIT: CodePoints = [[0x30, 0x39]];
const WORD: CodePoints = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const LINE_ENDS: CodePoints = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const SPACE: CodePoints = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];

/** Repetitions beyond this are refused: the automaton counts them one by one. */
const MOST_REPEATS = 10_000;

/**
 * The texts in which a pattern is found, as JSON Schema's `pattern` has it; with `whole`, those that it matches from end to
 * end.
 *
 * @throws PatternError
 */
export function patternExpression(
  source: string,
  alphabet: Alphabet,
  { whole = false }: { whole?: boolean } = {},
): Expression {
  const { expressions } = alphabet;
  const { alternatives } = parse(source);
  const reader = new PatternReader(alphabet);
  if (whole) {
    return reader.either(alternatives, expressions.empty, "start");
  }
  const rest = expressions.repeat(alphabet.any, 0, Infinity);
  const atStart = reader.either(alternatives, rest, "start");
  if (atStart === rest) {
    return rest;
  }
  const later = reader.either(alternatives, rest, "inside");
  return expressions.either([atStart, expressions.all(expressions.repeat(alphabet.any, 1, Infinity), later)]);
}

function parse(source: string): AST.Pattern {
  const parser = new RegExpParser({ ecmaVersion: 2025 });
  try {
    return parser.parsePattern(source, 0, source.length, { unicode: true });
  } catch {
    // Many patterns escape characters that need no escape, which is an error only with the flag "u".
  }
  try {
    return parser.parsePattern(source, 0, source.length, { unicode: false });
  } catch (error) {
    throw new PatternError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

class PatternReader {
  readonly #alphabet: Alphabet;

  constructor(alphabet: Alphabet) {
    this.#alphabet = alphabet;
  }

  /** @param rest what follows, to the end of the text: assertions look into it */
  either(alternatives: readonly AST.Alternative[], rest: Expression, place: Place): Expression {
    return this.#alphabet.expressions.either(
      alternatives.map(({ elements }) => this.#sequence(elements, rest, place)),
    );
  }

  #sequence(elements: readonly AST.Element[], rest: Expression, place: Place): Expression {
    const [first, ...others] = elements;
    if (first === undefined) {
      return rest;
    }
    const { expressions } = this.#alphabet;
    const behind = (at: Place): Expression => this.#sequence(others, rest, at);
    if (first.type === "Assertion") {
      return this.#assertion(first, behind(place), place);
    }
    if (!hasAssertion(first)) {
      const made = this.#plain(first);
      const after = made === expressions.empty ? place : made.nullable ? laterPlace(place) : "inside";
      return expressions.sequence(made, behind(after));
    }
    if (isGroup(first)) {
      this.#checkGroup(first);
      const isInside = place === "inside" || !first.alternatives.some(mayBeEmpty);
      return this.either(first.alternatives, behind(isInside ? "inside" : "either"), place);
    }
    if (first.type === "Quantifier" && first.max === 1) {
      const once = this.#sequence([first.element], behind("either"), place);
      return first.min === 1 ? once : expressions.either([once, behind(place)]);
    }
    throw new PatternError(`"${clip(first.raw)}" repeats an assertion, which is not supported`);
  }

  #assertion(assertion: AST.Assertion, rest: Expression, place: Place): Expression {
    const { expressions } = this.#alphabet;
    switch (assertion.kind) {
      case "start":
        if (place === "either") {
          throw new PatternError('a "^" stands behind what may be empty, which is not supported');
        }
        return place === "start" ? rest : expressions.nothing;
      case "end":
        return expressions.both([expressions.empty, rest]);
      case "lookahead": {
        const ahead = this.either(assertion.alternatives, expressions.anything, place);
        return expressions.both([assertion.negate ? expressions.not(ahead) : ahead, rest]);
      }
      case "lookbehind":
      case "word":
        throw new PatternError(`"${clip(assertion.raw)}" is not supported`);
    }
  }

  /** A part without assertions. */
  #plain(element: AST.Element): Expression {
    const { expressions } = this.#alphabet;
    if (isSet(element)) {
      return this.#alphabet.oneOf(pointsOf(element));
    }
    if (isGroup(element)) {
      this.#checkGroup(element);
      return expressions.either(
        element.alternatives.map(({ elements }) =>
          expressions.all(...elements.map((part) => this.#plain(part))),
        ),
      );
    }
    if (element.type !== "Quantifier") {
      throw new PatternError(`"${clip(element.raw)}" is not supported`);
    }
    const { min, max } = element;
    if (min > MOST_REPEATS || (max !== Infinity && max > MOST_REPEATS)) {
      throw new PatternError(`"${clip(element.raw)}" repeats more than ${MOST_REPEATS} times`);
    }
    return expressions.repeat(this.#plain(element.element), min, max);
  }

  #checkGroup(group: AST.Group | AST.CapturingGroup): void {
    if (group.type === "Group" && group.modifiers !== null) {
      throw new PatternError(`the modifiers of "${clip(group.raw)}" are not supported`);
    }
  }
}

const laterPlace = (place: Place): Place => (place === "start" ? "either" : place);

type Group = AST.Group | AST.CapturingGroup;
type CharacterElement = AST.Character | AST.CharacterSet | AST.CharacterClass;

const isGroup = (element: AST.Element): element is Group =>
  element.type === "Group" || element.type === "CapturingGroup";

const isSet = (element: AST.Element): element is CharacterElement =>
  ["Character", "CharacterSet", "CharacterClass"].includes(element.type);

function hasAssertion(node: AST.Element): boolean {
  if (isGroup(node)) {
    return node.alternatives.some(({ elements }) => elements.some(hasAssertion));
  }
  return node.type === "Assertion" || (node.type === "Quantifier" && hasAssertion(node.element));
}

function mayBeEmpty({ elements }: AST.Alternative): boolean {
  return elements.every((element) => {
    if (isGroup(element)) {
      return element.alternatives.some(mayBeEmpty);
    }
    return element.type === "Assertion" || (element.type === "Quantifier" && element.min === 0);
  });
}

type SetElement = AST.Character | AST.CharacterSet | AST.CharacterClass | AST.CharacterClassElement;

function pointsOf(element: SetElement): CodePoints {
  if (element.type === "Character") {
    return [[element.value, element.value]];
  }
  if (element.type === "CharacterClassRange") {
    return [[element.min.value, element.max.value]];
  }
  if (element.type === "CharacterSet") {
    return pointsOfSet(element);
  }
  if (element.type !== "CharacterClass") {
    throw new PatternError(`"${clip(element.raw)}" is not supported`);
  }
  const points = normalised(element.elements.flatMap((part) => pointsOf(part)));
  return element.negate ? complement(points) : points;
}

function pointsOfSet(set: AST.CharacterSet): CodePoints {
  if (set.kind === "any") {
    return complement(LINE_ENDS);
  }
  if (set.kind === "property") {
    return pointsOfProperty(set);
  }
  const points = { digit: DIGIT, word: WORD, space: SPACE }[set.kind];
  return set.negate ? complement(points) : points;
}

const properties = new Map<string, CodePoints>();

/** The characters of a Unicode property: those that the engine's own matcher says have it. */
function pointsOfProperty({ raw }: AST.UnicodePropertyCharacterSet): CodePoints {
  let points = properties.get(raw);
  if (points === undefined) {
    const matcher = new RegExp(`^${raw}$`, "u");
    const found: [number, number][] = [];
    for (let point = 0; point <= 0x10ffff; point++) {
      if (matcher.test(String.fromCodePoint(point))) {
        found.push([point, point]);
      }
    }
    points = normalised(found);
    properties.set(raw, points);
  }
  return points;
}
