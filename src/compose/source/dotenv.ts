/**
 * `.env` files as python-dotenv 1.2 reads them, which the Python model-compose reads them with: its grammar, its order of
 * interpolation. One thing is otherwise: `${…}` in single quotes stays as it is, as in Docker Compose and in shells.
 */

export interface DotenvValues {
  readonly values: ReadonlyMap<string, string>;
  /** Numbers of the lines at which something begins that is no assignment; it is passed over. */
  readonly badLines: readonly number[];
}

interface Binding {
  readonly name: string;
  /** Undefined: a name without `=`, which takes away what was set before. */
  readonly value: string | undefined;
  /** Whether `${…}` in the value means a variable. */
  readonly isInterpolated: boolean;
}

/** The grammar's terms, each matched where reading has come to. White space is what it is in Python's and JavaScript's `\s`. */
const TERMS = {
  space: /\s*/y,
  blanks: /[^\S\r\n]*/y,
  export: /(?:export[^\S\r\n]+)?/y,
  quotedName: /'([^']+)'/y,
  name: /([^=#\s]+)/y,
  equals: /=[^\S\r\n]*/y,
  singleQuoted: /'((?:\\[\s\S]|[^'\\])*)'/y,
  doubleQuoted: /"((?:\\[\s\S]|[^"\\])*)"/y,
  unquoted: /([^\r\n]*)/y,
  comment: /(?:[^\S\r\n]*#[^\r\n]*)?/y,
  endOfLine: /[^\S\r\n]*(?:\r\n|\n|\r|$)/y,
  restOfLine: /[^\r\n]*(?:\r\n|\n|\r)?/y,
} as const;

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

const VARIABLE = /\$\{([^}:]*)(?::-([^}]*))?\}/g;

/** @param outer Variables that `${…}` may mean beside those above it in the file, which go before */
export function parseDotenv(text: string, outer: ReadonlyMap<string, string>): DotenvValues {
  const values = new Map<string, string>();
  const reader = new Reader(text.replace(/^\uFEFF/, ""));
  const badLines: number[] = [];
  while (reader.hasNext) {
    const start = reader.offset;
    const binding = readBinding(reader);
    if (binding === undefined) {
      reader.skipLine();
      badLines.push(reader.lineOf(start));
    } else if (binding !== "nothing") {
      const { name, value, isInterpolated } = binding;
      if (value === undefined) {
        values.delete(name);
      } else {
        values.set(name, isInterpolated ? interpolate(value, values, outer) : value);
      }
    }
  }
  return { values, badLines };
}

function interpolate(
  value: string,
  own: ReadonlyMap<string, string>,
  outer: ReadonlyMap<string, string>,
): string {
  return value.replace(
    VARIABLE,
    (_whole, name: string, otherwise = "") => own.get(name) ?? outer.get(name) ?? (otherwise as string),
  );
}

/** @returns undefined: what stands here is no assignment */
function readBinding(reader: Reader): Binding | "nothing" | undefined {
  reader.take("space");
  if (!reader.hasNext) {
    return "nothing";
  }
  reader.take("export");
  let name: string | undefined;
  if (reader.next !== "#") {
    name = reader.take(reader.next === "'" ? "quotedName" : "name");
    if (name === undefined) {
      return undefined;
    }
  }
  reader.take("blanks");
  const value = reader.next === "=" ? readValue(reader) : { text: undefined, isInterpolated: false };
  if (value === undefined) {
    return undefined;
  }
  reader.take("comment");
  if (reader.take("endOfLine") === undefined) {
    return undefined;
  }
  return name === undefined ? "nothing" : { name, value: value.text, isInterpolated: value.isInterpolated };
}

function readValue(reader: Reader): { text: string; isInterpolated: boolean } | undefined {
  const equals = reader.take("equals") ?? "";
  if (reader.next === "'") {
    const text = reader.take("singleQuoted");
    return text === undefined
      ? undefined
      : { text: text.replaceAll(/\\([\\'])/g, "$1"), isInterpolated: false };
  }
  if (reader.next === '"') {
    const text = reader.take("doubleQuoted");
    return text === undefined ? undefined : { text: unescape(text), isInterpolated: true };
  }
  // Behind white space this begins a comment, directly behind the equals sign a value.
  if (reader.next === "#" && equals.length > 1) {
    return { text: "", isInterpolated: false };
  }
  const text = reader.take("unquoted") ?? "";
  return { text: text.replace(/\s+#.*/, "").trimEnd(), isInterpolated: true };
}

function unescape(text: string): string {
  return text.replaceAll(/\\([\\'"abfnrtv])/g, (_whole, letter: string) => ESCAPES[letter] ?? letter);
}

class Reader {
  offset = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get hasNext(): boolean {
    return this.offset < this.#text.length;
  }

  get next(): string | undefined {
    return this.#text[this.offset];
  }

  /** Reads a term. @returns its group, or all of it; undefined: something else stands here, and nothing is read */
  take(term: keyof typeof TERMS): string | undefined {
    const pattern = TERMS[term];
    pattern.lastIndex = this.offset;
    const match = pattern.exec(this.#text);
    if (match === null) {
      return undefined;
    }
    this.offset += match[0].length;
    return match[1] ?? match[0];
  }

  /** Passes over the rest of the line at which reading has come to. */
  skipLine(): void {
    this.take("restOfLine");
  }

  /** The number of the line of what stands at an offset or behind white space from there on. */
  lineOf(offset: number): number {
    const begin = offset + (/^\s*/.exec(this.#text.slice(offset))?.[0].length ?? 0);
    return this.#text.slice(0, begin).split(/\r\n|\n|\r/).length;
  }
}
