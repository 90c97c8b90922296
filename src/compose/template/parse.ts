import {
  type Annotation,
  type DefaultValue,
  type PathSegment,
  type Placeholder,
  type Template,
  type TemplatePart,
  type TypeSpec,
} from "./ast.ts";
import { TemplateSyntaxError } from "./syntax-error.ts";
import { checkArguments, streamFormat, typeName, typesRemedy } from "./types.ts";

/** Whether a text needs parsing at all. */
export function mayHoldPlaceholder(text: string): boolean {
  return text.includes("${");
}

/**
 * Parses a template. `$${` and `\${` stand for a literal `${`.
 *
 * One pass over the text, no backtracking: time is linear in its length.
 *
 * @throws TemplateSyntaxError
 */
export function parseTemplate(source: string): Template {
  return new Parser(source).template();
}

/** Bounds the recursion; no template written by a person comes near. */
const MAX_DEPTH = 64;

const SPACE = /\s/;
const NAME_START = /[A-Za-z_]/;
const NAME = /[A-Za-z0-9_-]/;
const KEY = /[\p{L}\p{N}_-]/u;

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  template(): Template {
    const parts = new Parts();
    for (;;) {
      const next = this.#text.indexOf("${", this.#at);
      if (next === -1) {
        break;
      }
      // An escape begins one character earlier.
      const from = Math.max(this.#at, /[$\\]/.test(this.#text.charAt(next - 1)) ? next - 1 : next);
      parts.add(this.#text.slice(this.#at, from));
      this.#at = from;
      this.#textOrPlaceholder(parts);
    }
    parts.add(this.#text.slice(this.#at));
    return { source: this.#text, parts: parts.list };
  }

  /** Reads one character, one escape or one placeholder. */
  #textOrPlaceholder(parts: Parts): void {
    if (this.#looksAt("$${") || this.#looksAt("\\${")) {
      parts.add("${");
      this.#at += 3;
    } else if (this.#looksAt("${")) {
      parts.add(this.#placeholder());
    } else {
      parts.add(this.#text.charAt(this.#at));
      this.#at += 1;
    }
  }

  #placeholder(): Placeholder {
    const start = this.#at;
    if (++this.#depth > MAX_DEPTH) {
      this.#fail(`placeholders are nested more than ${MAX_DEPTH} deep`, start, start + 2);
    }
    this.#at += 2;
    this.#spaces();
    const name = this.#sourceName(start);
    const chunk = this.#accept("[]");
    const path = this.#path(start);
    let spaced = this.#spaces();
    let type: TypeSpec | undefined;
    if (spaced && this.#looksAt("as") && SPACE.test(this.#peek(2))) {
      this.#at += 2;
      this.#spaces();
      type = this.#type(start);
      spaced = this.#spaces();
    }
    const value = this.#accept("|") ? this.#default(start) : undefined;
    const annotations: Annotation[] = [];
    for (this.#spaces(); this.#looksAt("@("); this.#spaces()) {
      annotations.push(this.#annotation(start));
    }
    if (!this.#accept("}")) {
      this.#unexpected(start, type !== undefined, value !== undefined, spaced);
    }
    this.#depth -= 1;
    const text = this.#text.slice(start, this.#at);
    return { start, end: this.#at, text, name, chunk, path, type, default: value, annotations };
  }

  #sourceName(start: number): string {
    const from = this.#at;
    if (NAME_START.test(this.#peek())) {
      while (NAME.test(this.#peek())) {
        this.#at += 1;
      }
    }
    if (this.#at > from) {
      return this.#text.slice(from, this.#at);
    }
    const found = this.#peek() === "}" ? "an empty placeholder" : this.#found();
    return this.#fail(
      `a placeholder begins with the name of a source, such as input; found ${found}`,
      start,
      this.#at + 1,
      "Write ${input.NAME}, or $${ for a literal ${.",
    );
  }

  #path(start: number): PathSegment[] {
    const path: PathSegment[] = [];
    for (;;) {
      if (this.#accept(".")) {
        const from = this.#at;
        for (let c = this.#codePoint(); KEY.test(c); c = this.#codePoint()) {
          this.#at += c.length;
        }
        if (this.#at === from) {
          this.#fail(`expected a name behind ".", found ${this.#found()}`, start, this.#at + 1);
        }
        path.push({ kind: "key", key: this.#text.slice(from, this.#at) });
      } else if (this.#peek() === "[") {
        path.push(this.#bracket(start));
      } else {
        return path;
      }
    }
  }

  #bracket(start: number): PathSegment {
    this.#at += 1;
    this.#spaces();
    const segment = this.#bracketContent(start);
    this.#spaces();
    if (!this.#accept("]")) {
      this.#fail(`expected "]", found ${this.#found()}`, start, this.#at + 1);
    }
    return segment;
  }

  #bracketContent(start: number): PathSegment {
    if (this.#looksAt("${")) {
      return { kind: "computed", placeholder: this.#placeholder() };
    }
    if (this.#accept("*")) {
      return { kind: "every" };
    }
    const quote = this.#peek();
    if (quote === '"' || quote === "'") {
      const end = this.#text.indexOf(quote, this.#at + 1);
      if (end === -1) {
        this.#fail(`the ${quote} of a key is never closed`, start, this.#at + 1);
      }
      const key = this.#text.slice(this.#at + 1, end);
      this.#at = end + 1;
      return { kind: "key", key };
    }
    const from = this.#integer();
    this.#spaces();
    if (this.#accept(":")) {
      this.#spaces();
      return { kind: "slice", from, to: this.#integer() };
    }
    if (from !== undefined) {
      return { kind: "index", index: from };
    }
    return this.#fail(
      `expected an index in [ ], found ${this.#found()}`,
      start,
      this.#at + 1,
      'Write [0], [-1], [0:2], [*], ["key"] or [${index}].',
    );
  }

  #integer(): number | undefined {
    const from = this.#at;
    if (this.#peek() === "-") {
      this.#at += 1;
    }
    while (/[0-9]/.test(this.#peek())) {
      this.#at += 1;
    }
    const digits = this.#text.slice(from, this.#at);
    if (/\d/.test(digits)) {
      return Number(digits);
    }
    this.#at = from;
    return undefined;
  }

  #type(start: number): TypeSpec {
    const from = this.#at;
    while (NAME.test(this.#peek())) {
      this.#at += 1;
    }
    const written = this.#text.slice(from, this.#at);
    if (written === "") {
      this.#fail(`expected a type behind "as", found ${this.#found()}`, start, this.#at + 1, typesRemedy);
    }
    const name = typeName(written, from);
    const list = this.#accept("[]");
    const args = this.#accept("/") ? this.#typeArguments(name === "select") : [];
    checkArguments(name, args, from, this.#at);
    return { name, list, arguments: args, format: this.#accept(";") ? this.#typeFormat() : undefined };
  }

  /** @param mayHaveSpaces Whether the arguments are texts for people, up to a default or an annotation */
  #typeArguments(mayHaveSpaces: boolean): string[] {
    const from = this.#at;
    const end = mayHaveSpaces ? /[;|}]/ : /[\s;|}]/;
    while (this.#at < this.#text.length && !end.test(this.#peek()) && !this.#looksAt("@(")) {
      this.#at += 1;
    }
    return this.#text
      .slice(from, this.#at)
      .split(",")
      .map((argument) => argument.trim());
  }

  #typeFormat(): string {
    const from = this.#at;
    while (NAME.test(this.#peek())) {
      this.#at += 1;
    }
    return streamFormat(this.#text.slice(from, this.#at), from);
  }

  #default(start: number): DefaultValue {
    const from = this.#at;
    this.#spaces();
    const first = this.#peek();
    if (first === '"' || first === "'") {
      return this.#quotedDefault(start, first);
    }
    if (first === "}") {
      if (this.#at === from) {
        this.#fail(
          'expected a default behind "|", found "}"',
          start,
          this.#at + 1,
          'Write | "" for an empty text.',
        );
      }
      // There are only spaces, which the Python model-compose takes as the default.
      const spaces = this.#text.slice(from, this.#at);
      return { template: { source: spaces, parts: [spaces] }, quoted: true };
    }
    return this.#bareDefault(start, first === "[" || first === "{");
  }

  #quotedDefault(start: number, quote: string): DefaultValue {
    const opening = this.#at;
    this.#at += 1;
    const parts = new Parts();
    while (this.#peek() !== quote) {
      if (this.#at >= this.#text.length) {
        this.#fail(`the ${quote} that opens a default is never closed`, opening, opening + 1);
      }
      if (this.#looksAt(`\\${quote}`) || this.#looksAt("\\\\")) {
        parts.add(this.#peek(1));
        this.#at += 2;
      } else {
        this.#textOrPlaceholder(parts);
      }
    }
    const source = this.#text.slice(opening + 1, this.#at);
    this.#at += 1;
    this.#spaces();
    if (this.#peek() !== "}" && !this.#looksAt("@(")) {
      this.#fail(
        `expected "}" behind a quoted default, found ${this.#found()}`,
        start,
        this.#at + 1,
        "Put the whole default in quotes.",
      );
    }
    return { template: { source, parts: parts.list }, quoted: true };
  }

  /**
   * Reads up to the placeholder's own `}`: braces inside must match. In a JSON literal (one that begins with `[` or
   * `{`) braces in strings do not count.
   */
  #bareDefault(start: number, json: boolean): DefaultValue {
    const from = this.#at;
    const parts = new Parts();
    let open = 0;
    let inString = false;
    for (;;) {
      const c = this.#peek();
      if (c === "") {
        this.#fail('a placeholder is never closed with "}"', start, start + 2, closeRemedy);
      }
      if (!inString && open === 0 && (c === "}" || this.#annotationFollows())) {
        break;
      }
      if (json && c === '"') {
        inString = !inString;
      } else if (inString && c === "\\" && this.#peek(1) === '"') {
        parts.add('\\"');
        this.#at += 2;
        continue;
      } else if (!inString && c === "{") {
        open += 1;
      } else if (!inString && c === "}") {
        open -= 1;
      }
      this.#textOrPlaceholder(parts);
    }
    if (this.#at === from) {
      this.#fail('expected a default behind "|"', start, this.#at + 1, 'Write | "" for an empty text.');
    }
    parts.trimEnd();
    return {
      template: { source: this.#text.slice(from, this.#at).trimEnd(), parts: parts.list },
      quoted: false,
    };
  }

  #annotationFollows(): boolean {
    return this.#looksAt("@(") && SPACE.test(this.#text.charAt(this.#at - 1));
  }

  #annotation(start: number): Annotation {
    const from = this.#at;
    this.#at += 2;
    let open = 1;
    while (open > 0) {
      const c = this.#peek();
      if (c === "") {
        this.#fail('an annotation is never closed with ")"', from, from + 2);
      }
      if (c === "(") {
        open += 1;
      }
      if (c === ")") {
        open -= 1;
      }
      this.#at += 1;
    }
    const match = /^([A-Za-z_][\w-]*)(?:\s+([\s\S]*))?$/.exec(
      this.#text.slice(from + 2, this.#at - 1).trim(),
    );
    if (match === null) {
      this.#fail("an annotation begins with a word", start, this.#at, "Write @(description The text).");
    }
    return { name: match[1] ?? "", text: match[2] ?? "" };
  }

  #unexpected(start: number, typed: boolean, defaulted: boolean, spaced: boolean): never {
    if (this.#at >= this.#text.length) {
      this.#fail('a placeholder is never closed with "}"', start, start + 2, closeRemedy);
    }
    if (this.#looksAt("as}")) {
      this.#fail('expected a type behind "as", found "}"', start, this.#at + 3, typesRemedy);
    }
    const expected = defaulted
      ? "@( or }"
      : typed
        ? "|, @( or }"
        : spaced
          ? "as, |, @( or }"
          : "., [, as, | or }";
    this.#fail(`expected ${expected}, found ${this.#found()}`, start, this.#at + 1, closeRemedy);
  }

  #fail(message: string, start: number, end: number, remedy?: string): never {
    throw new TemplateSyntaxError(message, start, Math.min(end, this.#text.length), { remedy });
  }

  #peek(ahead = 0): string {
    return this.#text.charAt(this.#at + ahead);
  }

  #codePoint(): string {
    const code = this.#text.codePointAt(this.#at);
    return code === undefined ? "" : String.fromCodePoint(code);
  }

  #found(): string {
    const rest = this.#text.slice(this.#at).match(/^[\w-]+|^[\s\S]/u);
    return rest === null ? "the end of the text" : JSON.stringify(rest[0]);
  }

  #looksAt(text: string): boolean {
    return this.#text.startsWith(text, this.#at);
  }

  #accept(text: string): boolean {
    if (!this.#looksAt(text)) {
      return false;
    }
    this.#at += text.length;
    return true;
  }

  #spaces(): boolean {
    const from = this.#at;
    while (SPACE.test(this.#peek())) {
      this.#at += 1;
    }
    return this.#at > from;
  }
}

const closeRemedy = "A placeholder is ${source.path as type | default}; write $${ for a literal ${.";

/** Joins neighbouring texts while a template is parsed; pieces are joined once, so time stays linear. */
class Parts {
  readonly #parts: TemplatePart[] = [];
  #pending: string[] = [];

  get list(): readonly TemplatePart[] {
    this.#flush();
    return this.#parts;
  }

  add(part: TemplatePart): void {
    if (typeof part === "string") {
      this.#pending.push(part);
    } else {
      this.#flush();
      this.#parts.push(part);
    }
  }

  /** Drops the spaces at the end, unless a placeholder stands there. */
  trimEnd(): void {
    this.#pending = [this.#pending.join("").trimEnd()];
  }

  #flush(): void {
    const text = this.#pending.join("");
    this.#pending = [];
    if (text !== "") {
      this.#parts.push(text);
    }
  }
}
