/**
 * Cuts a template into tokens as Jinja 3.1 does (jinja2/lexer.py) with trim_blocks and lstrip_blocks, in a time that grows
 * with its length: white space around tags is looked at once from either side.
 */

export type Token = (
  | { readonly kind: "text"; readonly value: string }
  /** The opening or closing of `{{ }}` and `{% %}`. */
  | { readonly kind: "variable-begin" | "variable-end" | "block-begin" | "block-end" | "end" }
  | { readonly kind: "name" | "operator" | "string"; readonly value: string }
  | { readonly kind: "integer" | "float"; readonly value: number }
) & { readonly at: number };

/** The error of a text that is no template; the place is the source's line and column, from 1. */
export class TemplateSyntaxError extends Error {
  constructor(message: string, source: string, at: number) {
    const before = source.slice(0, at);
    const line = before.split("\n").length;
    super(`${message} (line ${line}, column ${at - before.lastIndexOf("\n")})`);
  }
}

/** @param source the template, whose line ends are "\n" */
export function tokenize(source: string): Token[] {
  return new Lexer(source).tokens();
}

const OPERATORS = ["//", "**", "==", "!=", ">=", "<=", ..."+-/*%~[](){}><=.:|,;"];
const CLOSING: Readonly<Record<string, string>> = { "}": "{", ")": "(", "]": "[" };

const SPACE = /\s*/y;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const RAW_BEGIN = /\{%[-+]?\s*raw\s*(?:-%\}|%\})/y;
const RAW_END = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  /** Whether the text that follows begins a line: at the beginning, and where a tag took the line end behind it. */
  #beginsLine = true;

  constructor(source: string) {
    this.#source = source;
  }

  tokens(): Token[] {
    while (this.#at < this.#source.length) {
      const tag = this.#nextTag();
      if (tag < 0) {
        this.#text(this.#source.slice(this.#at), this.#at);
        this.#at = this.#source.length;
        break;
      }
      this.#tag(tag);
    }
    this.#tokens.push({ kind: "end", at: this.#source.length });
    return this.#tokens;
  }

  /** The offset of the next `{{`, `{%` or `{#`; -1: there is none. */
  #nextTag(): number {
    for (let at = this.#source.indexOf("{", this.#at); at >= 0; at = this.#source.indexOf("{", at + 1)) {
      if ("{%#".includes(this.#source[at + 1] ?? " ")) {
        return at;
      }
    }
    return -1;
  }

  #tag(at: number): void {
    const second = this.#source[at + 1];
    RAW_BEGIN.lastIndex = at;
    const raw = second === "%" ? RAW_BEGIN.exec(this.#source)?.[0] : undefined;
    const sign = this.#source[at + 2] ?? "";
    this.#text(this.#before(this.#source.slice(this.#at, at), sign, second !== "{"), this.#at);
    if (raw !== undefined) {
      this.#raw(at, at + raw.length, raw.endsWith("-%}"));
    } else if (second === "#") {
      this.#comment(at, at + (sign === "-" || sign === "+" ? 3 : 2));
    } else {
      const isBlock = second === "%";
      this.#tokens.push({ kind: isBlock ? "block-begin" : "variable-begin", at });
      this.#at = at + (sign === "-" || sign === "+" ? 3 : 2);
      this.#code(at, isBlock);
    }
  }

  /** The text before a tag, without the white space that the tag takes. */
  #before(text: string, sign: string, isBlock: boolean): string {
    if (sign === "-") {
      return text.trimEnd();
    }
    if (sign === "+" || !isBlock) {
      return text;
    }
    // A block that begins its line takes what indents it.
    const lineStart = text.lastIndexOf("\n") + 1;
    const isFirst = lineStart > 0 || this.#beginsLine;
    return isFirst && text.slice(lineStart).trim() === "" ? text.slice(0, lineStart) : text;
  }

  #text(value: string, at: number): void {
    if (value !== "") {
      this.#tokens.push({ kind: "text", value, at });
    }
  }

  /** Ends a tag: with `-` all white space behind it goes, of a block without `+` one line end. */
  #after(sign: string, isBlock: boolean): void {
    const start = this.#at;
    if (sign === "-") {
      this.#skip(SPACE);
    } else if (isBlock && sign !== "+" && this.#source[this.#at] === "\n") {
      this.#at += 1;
    }
    this.#beginsLine = this.#at > start && this.#source[this.#at - 1] === "\n";
  }

  #comment(at: number, from: number): void {
    const end = this.#source.indexOf("#}", from);
    if (end < 0) {
      throw new TemplateSyntaxError("the comment is not closed by #}", this.#source, at);
    }
    this.#at = end + 2;
    this.#after(end > from ? (this.#source[end - 1] ?? "") : "", true);
  }

  #raw(at: number, from: number, takesSpace: boolean): void {
    this.#at = from;
    this.#after(takesSpace ? "-" : "+", false);
    RAW_END.lastIndex = this.#at;
    const end = RAW_END.exec(this.#source);
    if (end === null) {
      throw new TemplateSyntaxError("raw is not closed by {% endraw %}", this.#source, at);
    }
    const [whole, sign = "", endSign = ""] = end;
    this.#text(this.#before(this.#source.slice(this.#at, end.index), sign, true), this.#at);
    this.#at = end.index + whole.length;
    this.#after(endSign, true);
  }

  /** Reads what stands in a tag, to its end. */
  #code(begin: number, isBlock: boolean): void {
    const open: string[] = [];
    for (;;) {
      this.#skip(SPACE);
      const at = this.#at;
      if (at >= this.#source.length) {
        const end = isBlock ? "%}" : "}}";
        throw new TemplateSyntaxError(`the tag is not closed by ${end}`, this.#source, begin);
      }
      const sign = open.length === 0 ? this.#endOfTag(isBlock) : undefined;
      if (sign !== undefined) {
        this.#tokens.push({ kind: isBlock ? "block-end" : "variable-end", at });
        this.#after(sign, isBlock);
        return;
      }
      const token = this.#codeToken(at);
      this.#tokens.push(token);
      if (token.kind === "operator") {
        this.#balance(token.value, open, at);
      }
    }
  }

  /** Reads the end of a tag. @returns its sign; undefined: the tag goes on */
  #endOfTag(isBlock: boolean): string | undefined {
    const end = isBlock ? "%}" : "}}";
    const sign = this.#source[this.#at] ?? "";
    const hasSign = sign === "-" || (sign === "+" && isBlock);
    if (this.#source.startsWith(end, this.#at + (hasSign ? 1 : 0))) {
      this.#at += hasSign ? 3 : 2;
      return hasSign ? sign : "";
    }
    return undefined;
  }

  #balance(operator: string, open: string[], at: number): void {
    if ("{([".includes(operator)) {
      open.push(operator);
    } else if (operator in CLOSING && open.pop() !== CLOSING[operator]) {
      throw new TemplateSyntaxError(`unexpected "${operator}"`, this.#source, at);
    }
  }

  #codeToken(at: number): Token {
    const name = this.#skip(NAME);
    if (name !== undefined) {
      return { kind: "name", value: name, at };
    }
    const isMember = this.#source[at - 1] === ".";
    const float = isMember ? undefined : this.#skip(FLOAT);
    if (float !== undefined) {
      return { kind: "float", value: Number(float.replaceAll("_", "")), at };
    }
    const integer = this.#skip(INTEGER);
    if (integer !== undefined) {
      const value = Number(integer.replaceAll("_", ""));
      if (!Number.isSafeInteger(value)) {
        throw new TemplateSyntaxError("the integer is too large to be exact", this.#source, at);
      }
      return { kind: "integer", value, at };
    }
    const quote = this.#source[at];
    if (quote === '"' || quote === "'") {
      return { kind: "string", value: this.#string(quote, at), at };
    }
    const operator = OPERATORS.find((text) => this.#source.startsWith(text, at));
    if (operator === undefined) {
      throw new TemplateSyntaxError(`unexpected ${JSON.stringify(quote)}`, this.#source, at);
    }
    this.#at += operator.length;
    return { kind: "operator", value: operator, at };
  }

  #string(quote: string, at: number): string {
    let end = at + 1;
    while (end < this.#source.length && this.#source[end] !== quote) {
      end += this.#source[end] === "\\" ? 2 : 1;
    }
    if (end >= this.#source.length) {
      throw new TemplateSyntaxError(`the text that ${quote} opens is not closed`, this.#source, at);
    }
    this.#at = end + 1;
    return this.#source.slice(at + 1, end).replaceAll(ESCAPE, (whole, code: string) => {
      const character = unescaped(code);
      if (character === undefined) {
        throw new TemplateSyntaxError(`${whole} is no escape`, this.#source, at);
      }
      return character;
    });
  }

  /** Reads what a pattern matches here. @returns undefined: nothing */
  #skip(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source)?.[0];
    this.#at += match?.length ?? 0;
    return match === "" ? undefined : match;
  }
}

/** Escapes of Python's texts; what follows another backslash stays as it is, with the backslash. */
const ESCAPE =
  /\\(\n|[\\'"abfnrtv]|[0-7]{1,3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[xuUN](?:\{[^}]*\})?)/g;
const SINGLE: Readonly<Record<string, string>> = {
  "\n": "",
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** The character of an escape without its backslash; undefined: it is malformed, or names a character. */
function unescaped(code: string): string | undefined {
  if (/^[\\'"]$/.test(code)) {
    return code;
  }
  if (/^[0-7]/.test(code)) {
    return String.fromCharCode(parseInt(code, 8));
  }
  if (/^[xuU][\da-fA-F]{2,}$/.test(code)) {
    const point = parseInt(code.slice(1), 16);
    return point > 0x10ffff ? undefined : String.fromCodePoint(point);
  }
  return SINGLE[code];
}
