/**
 * Reads regular expressions of tokenizer.json: Oniguruma's syntax as its Ruby dialect has it (the `RE` document of
 * Oniguruma), which is what the tokenizers library in Rust uses. What is not read here is refused by its spelling.
 */
import { describeJson } from "../../../base/json.ts";
import { LETTER_CLASSES, POSIX_CLASSES, propertyClass, setOf, WORD_OUTSIDE } from "./character-classes.ts";
import { PatternError, type PatternNode, type RepeatMode } from "./syntax.ts";

/** Groups within groups: more than this is no tokenizer's pattern, and reading it would use up the stack. */
const MOST_DEPTH = 50;

/** Characters of a pattern; those of published tokenizers have up to 1,300. */
const MOST_CHARACTERS = 10_000;

/** The largest count of a repetition in braces. */
const MOST_REPEATS = 1000;

const ESCAPED_CHARACTERS: Readonly<Record<string, number>> = {
  n: 10,
  t: 9,
  r: 13,
  f: 12,
  v: 11,
  a: 7,
  e: 27,
};

/**
 * Literals that, whatever their case, also equal one character or several of another length (ß and ss, ﬁ and fi):
 * CaseFolding.txt's full foldings.
 */
const FOLDS_TO_ANOTHER_LENGTH = /[\p{M}\u02bc\u02be\u0565\u0574\u057e]|ss|ff|fi|fl|st/u;

/**
 * Parses a pattern.
 *
 * @throws PatternError with what is wrong as the end of a sentence that begins with the pattern
 */
export function parsePattern(source: string): PatternNode {
  if (source.length > MOST_CHARACTERS) {
    throw new PatternError(`has ${source.length} characters; at most ${MOST_CHARACTERS} are read`);
  }
  return new Parser(source).parse();
}

/** The pattern of a text that stands for itself. */
export function literalPattern(text: string): PatternNode {
  return {
    type: "sequence",
    nodes: [...text].map((character) => setOf(`\\u{${hex(character)}}`, false, unitsOf(character))),
  };
}

interface Flags {
  /** Letters of both cases are the same. */
  ignoreCase: boolean;
  /** The dot matches line feeds. */
  dotAll: boolean;
}

class Parser {
  /** The code points of the source. */
  readonly #characters: string[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#characters = [...source];
  }

  parse(): PatternNode {
    const node = this.#choice({ ignoreCase: false, dotAll: false });
    if (this.#at < this.#characters.length) {
      throw new PatternError('has a ")" too many');
    }
    return node;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  /** Takes a text if the source goes on with it. */
  #take(text: string): boolean {
    const length = [...text].length;
    if (this.#characters.slice(this.#at, this.#at + length).join("") !== text) {
      return false;
    }
    this.#at += length;
    return true;
  }

  #next(): string {
    const character = this.#characters[this.#at++];
    if (character === undefined) {
      throw new PatternError("ends in the middle");
    }
    return character;
  }

  #choice(flags: Flags): PatternNode {
    if (++this.#depth > MOST_DEPTH) {
      throw new PatternError(`nests groups more than ${MOST_DEPTH} deep`);
    }
    const nodes = [this.#sequence(flags)];
    while (this.#take("|")) {
      nodes.push(this.#sequence(flags));
    }
    this.#depth--;
    return nodes.length === 1 && nodes[0] !== undefined ? nodes[0] : { type: "choice", nodes };
  }

  #sequence(flags: Flags): PatternNode {
    const nodes: PatternNode[] = [];
    let run = "";
    for (;;) {
      const character = this.#peek();
      if (character === undefined || character === "|" || character === ")") {
        break;
      }
      const from = this.#at;
      const term = this.#term(flags);
      if (term === undefined) {
        continue;
      }
      nodes.push(this.#repeated(term));
      const literal = flags.ignoreCase && this.#at === from + 1 && term.type === "set" && character !== ".";
      run = literal ? run + character.toLowerCase() : "";
      if (FOLDS_TO_ANOTHER_LENGTH.test(run)) {
        throw new PatternError(
          `compares ${describeJson(run)} without regard to case, whose length changes with case`,
        );
      }
    }
    return nodes.length === 1 && nodes[0] !== undefined ? nodes[0] : { type: "sequence", nodes };
  }

  /** One term without what repeats it; undefined for a comment. */
  #term(flags: Flags): PatternNode | undefined {
    const character = this.#next();
    switch (character) {
      case ".":
        return setOf(flags.dotAll ? String.raw`\p{Any}` : String.raw`^\n`, false);
      case "^":
        return { type: "place", place: "line-start" };
      case "$":
        return { type: "place", place: "line-end" };
      case "(":
        return this.#group(flags);
      case "[":
        return setOf(this.#brackets(flags), flags.ignoreCase);
      case "\\":
        return this.#escape(flags);
      case "*":
      case "+":
      case "?":
        throw new PatternError(`repeats nothing with "${character}"`);
      case "{":
        this.#at--;
        if (this.#counts() !== undefined) {
          throw new PatternError('repeats nothing with "{"');
        }
        this.#at++;
    }
    return literal(character, flags);
  }

  #group(flags: Flags): PatternNode | undefined {
    if (!this.#take("?")) {
      return this.#groupEnd(flags);
    }
    if (this.#take("#")) {
      while (this.#next() !== ")") {
        // A comment has no nesting.
      }
      return undefined;
    }
    if (this.#take(":")) {
      return this.#groupEnd(flags);
    }
    if (this.#take(">")) {
      return { type: "atomic", node: this.#groupEnd(flags) };
    }
    for (const [sign, behind, negative] of [
      ["<=", true, false],
      ["<!", true, true],
      ["=", false, false],
      ["!", false, true],
    ] as const) {
      if (this.#take(sign)) {
        return { type: "look", node: this.#groupEnd(flags), behind, negative };
      }
    }
    if (this.#take("<")) {
      // The name of a group has no effect without references to it, which are refused.
      while (this.#next() !== ">") {
        // The name is passed over.
      }
      return this.#groupEnd(flags);
    }
    return this.#flagGroup(flags);
  }

  /** `(?i)`, which holds up to the end of the group around it, or `(?i:...)`. */
  #flagGroup(flags: Flags): PatternNode {
    const changed = { ...flags };
    let value = true;
    for (let character = this.#next(); ; character = this.#next()) {
      if (character === "-") {
        value = false;
      } else if (character === "i") {
        changed.ignoreCase = value;
      } else if (character === "m") {
        changed.dotAll = value;
      } else if (character === ":") {
        return this.#groupEnd(changed);
      } else if (character === ")") {
        return this.#choice(changed);
      } else {
        throw new PatternError(`has a group that begins with "(?${character}", which is not supported`);
      }
    }
  }

  #groupEnd(flags: Flags): PatternNode {
    const node = this.#choice(flags);
    if (!this.#take(")")) {
      throw new PatternError('lacks a ")"');
    }
    return node;
  }

  #escape(flags: Flags): PatternNode {
    const character = this.#next();
    const lower = character.toLowerCase();
    if (lower === "w") {
      return setOf(character === "w" ? WORD_OUTSIDE : `^${WORD_OUTSIDE}`, false);
    }
    switch (character) {
      case "A":
        return { type: "place", place: "text-start" };
      case "z":
        return { type: "place", place: "text-end" };
      case "Z":
        return { type: "place", place: "last-line-end" };
      case "b":
        return { type: "place", place: "word-border" };
      case "B":
        return { type: "place", place: "no-word-border" };
    }
    const inside = this.#classEscape(character);
    if (inside !== undefined) {
      return setOf(inside, false);
    }
    return literal(String.fromCodePoint(this.#escapedCharacter(character)), flags);
  }

  /** `\d`, `\p{L}` and the like, as the inside of a class; undefined for an escaped character. */
  #classEscape(character: string): string | undefined {
    const lower = character.toLowerCase();
    if (Object.hasOwn(LETTER_CLASSES, lower)) {
      const inside = LETTER_CLASSES[lower] ?? "";
      return character === lower ? inside : `^${inside}`;
    }
    if (lower !== "p") {
      return undefined;
    }
    if (!this.#take("{")) {
      throw new PatternError(`has "\\${character}" without a name in braces`);
    }
    const isNegated = this.#take("^") !== (character === "P");
    let name = "";
    for (let next = this.#next(); next !== "}"; next = this.#next()) {
      name += next;
    }
    const inside = propertyClass(name);
    return isNegated ? `^${inside}` : inside;
  }

  /** The code point of an escape whose first character has been taken. */
  #escapedCharacter(character: string): number {
    if (Object.hasOwn(ESCAPED_CHARACTERS, character)) {
      return ESCAPED_CHARACTERS[character] ?? 0;
    }
    if (character === "x" && this.#take("{")) {
      return this.#hexadecimal(/^[0-9A-Fa-f]{1,8}$/, "}");
    }
    if (character === "x" || character === "u") {
      const digits = this.#characters.slice(this.#at, this.#at + (character === "x" ? 2 : 4)).join("");
      if (!/^(?:[0-9A-Fa-f]{2}){1,2}$/.test(digits) || digits.length !== (character === "x" ? 2 : 4)) {
        throw new PatternError(`has "\\${character}" without its digits`);
      }
      this.#at += digits.length;
      return codePoint(parseInt(digits, 16));
    }
    if (/^[A-Za-z0-9]$/.test(character)) {
      throw new PatternError(`has "\\${character}", which is not supported`);
    }
    return character.codePointAt(0) ?? 0;
  }

  #hexadecimal(form: RegExp, end: string): number {
    let digits = "";
    for (let next = this.#next(); next !== end; next = this.#next()) {
      digits += next;
    }
    if (!form.test(digits)) {
      throw new PatternError(`has ${describeJson(digits)} where the number of a character is expected`);
    }
    return codePoint(parseInt(digits, 16));
  }

  /** The inside of a class in brackets, of which the first has been taken, in JavaScript's `v` syntax. */
  #brackets(flags: Flags): string {
    if (++this.#depth > MOST_DEPTH) {
      throw new PatternError(`nests classes more than ${MOST_DEPTH} deep`);
    }
    const isNegated = this.#take("^");
    const operands: string[] = [];
    let items = "";
    for (let isFirst = true; ; isFirst = false) {
      const character = this.#next();
      if (character === "]" && !isFirst) {
        break;
      }
      if (character === "&" && this.#take("&")) {
        operands.push(items);
        items = "";
      } else if (character === "[") {
        items += this.#take(":") ? this.#posix() : `[${this.#brackets(flags)}]`;
      } else {
        items += this.#item(character, flags);
      }
    }
    this.#depth--;
    operands.push(items);
    if (operands.includes("")) {
      throw new PatternError("has an empty class in brackets");
    }
    const inside = operands.length === 1 ? items : operands.map((operand) => `[${operand}]`).join("&&");
    return isNegated ? `^${inside}` : inside;
  }

  /** A character of a class, a range, or an escape. */
  #item(first: string, flags: Flags): string {
    const from = this.#classCharacter(first);
    if (typeof from === "string") {
      return `[${from}]`;
    }
    checkFolding(from, flags);
    const hasRange = this.#peek() === "-" && this.#characters[this.#at + 1] !== "]";
    if (!hasRange) {
      return `\\u{${from.toString(16)}}`;
    }
    this.#at++;
    const last = this.#next();
    const to = last === "[" ? "" : this.#classCharacter(last);
    if (typeof to === "string" || to < from) {
      throw new PatternError("has a range in brackets that is none");
    }
    checkFolding(to, flags);
    return `\\u{${from.toString(16)}}-\\u{${to.toString(16)}}`;
  }

  /** A code point, or the inside of a class. */
  #classCharacter(character: string): number | string {
    if (character !== "\\") {
      return character.codePointAt(0) ?? 0;
    }
    const escaped = this.#next();
    if (escaped === "b") {
      return 8;
    }
    return this.#classEscape(escaped) ?? this.#escapedCharacter(escaped);
  }

  #posix(): string {
    const isNegated = this.#take("^");
    let name = "";
    while (!this.#take(":]")) {
      name += this.#next();
    }
    const inside = Object.hasOwn(POSIX_CLASSES, name) ? POSIX_CLASSES[name] : undefined;
    if (inside === undefined) {
      throw new PatternError(`has the class ${describeJson(`[:${name}:]`)}, which is not supported`);
    }
    return `[${isNegated ? "^" : ""}${inside}]`;
  }

  /** Applies the repetitions that follow a term. */
  #repeated(term: PatternNode): PatternNode {
    let node = term;
    for (let levels = 0; ; levels++) {
      const repeat = this.#quantifier();
      if (repeat === undefined) {
        return node;
      }
      if (levels >= MOST_DEPTH) {
        throw new PatternError(`nests repetitions more than ${MOST_DEPTH} deep`);
      }
      node = { type: "repeat", node, ...repeat };
    }
  }

  #quantifier(): { min: number; max: number; mode: RepeatMode } | undefined {
    for (const [sign, min, max] of [
      ["*", 0, Infinity],
      ["+", 1, Infinity],
      ["?", 0, 1],
    ] as const) {
      if (this.#take(sign)) {
        return { min, max, mode: this.#take("?") ? "lazy" : this.#take("+") ? "possessive" : "greedy" };
      }
    }
    const counts = this.#counts();
    if (counts === undefined) {
      return undefined;
    }
    const [min, max, isExact] = counts;
    // In Ruby's dialect "{2}?" is an optional "{2}", and "{1,3}+" one or more of "{1,3}".
    if (isExact && this.#peek() === "?") {
      throw new PatternError('has "?" after a count in braces, which is not supported');
    }
    return { min, max, mode: this.#take("?") ? "lazy" : "greedy" };
  }

  /** A count in braces. Braces that hold none are ordinary characters. */
  #counts(): [min: number, max: number, isExact: boolean] | undefined {
    if (this.#peek() !== "{") {
      return undefined;
    }
    const rest = this.#characters.slice(this.#at, this.#at + 20).join("");
    const [whole, from = "", comma, to = ""] = /^\{(\d*)(,?)(\d*)\}/.exec(rest) ?? [];
    if (whole === undefined || (from === "" && to === "")) {
      return undefined;
    }
    this.#at += whole.length;
    const min = from === "" ? 0 : Number(from);
    const max = comma === "" ? min : to === "" ? Infinity : Number(to);
    if (min > MOST_REPEATS || (max !== Infinity && max > MOST_REPEATS) || min > max) {
      throw new PatternError(`repeats ${describeJson(whole)} times; expected counts up to ${MOST_REPEATS}`);
    }
    return [min, max, comma === ""];
  }
}

function literal(character: string, flags: Flags): PatternNode {
  const point = character.codePointAt(0) ?? 0;
  checkFolding(point, flags);
  return setOf(
    `\\u{${point.toString(16)}}`,
    flags.ignoreCase,
    flags.ignoreCase ? undefined : unitsOf(character),
  );
}

function unitsOf(character: string): 1 | 2 {
  return character.length === 2 ? 2 : 1;
}

function hex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}

function codePoint(value: number): number {
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
    throw new PatternError(`names the character ${value.toString(16)}, which does not exist`);
  }
  return value;
}

/** Refuses characters which, in the other case, are several. */
function checkFolding(point: number, { ignoreCase }: Flags): void {
  const character = String.fromCodePoint(point);
  if (
    !ignoreCase ||
    character.toUpperCase().length + character.toLowerCase().length === 2 * character.length
  ) {
    return;
  }
  throw new PatternError(`compares "${character}" without regard to case, whose length changes with case`);
}
