/** What is wrong with a text as YAML, in our words: the parser's own are about its tokens, and often several for one slip. */
import type { ErrorCode, YAMLError } from "yaml";

export interface YamlFault {
  readonly start: number;
  readonly end: number;
  readonly message: string;
  readonly remedy: string;
}

type Words = Pick<YamlFault, "message" | "remedy">;

/** Faults behind which the parser no longer knows where it is: whatever it says after the first of them follows from it. */
const DERAILING: ReadonlySet<ErrorCode> = new Set([
  "BAD_DIRECTIVE",
  "BAD_INDENT",
  "BAD_SCALAR_START",
  "BLOCK_AS_IMPLICIT_KEY",
  "BLOCK_IN_FLOW",
  "IMPOSSIBLE",
  "MISSING_CHAR",
  "MULTILINE_IMPLICIT_KEY",
  "TAB_AS_INDENT",
  "UNEXPECTED_TOKEN",
]);

/** @param errors What the parser says, about offsets of the text */
export function yamlFaults(text: string, errors: readonly YAMLError[]): YamlFault[] {
  const faults: YamlFault[] = [];
  let isDerailed = false;
  for (const error of errors.toSorted((a, b) => a.pos[0] - b.pos[0])) {
    const derails = DERAILING.has(error.code);
    if (isDerailed && derails) {
      continue;
    }
    isDerailed ||= derails;
    faults.push(overindented(text, error, errors) ?? { ...placeOf(text, error), ...wordsFor(text, error) });
  }
  return faults;
}

/**
 * A line below a value that is further in goes on with the value; a colon in it then makes the value a key. The parser
 * points at the value, a person looks for the line.
 */
function overindented(text: string, error: YAMLError, all: readonly YAMLError[]): YamlFault | undefined {
  const [start] = error.pos;
  if (error.code !== "BLOCK_AS_IMPLICIT_KEY" || isFirstInLine(text, start)) {
    return undefined;
  }
  const key = all.find(({ code, pos }) => code === "MULTILINE_IMPLICIT_KEY" && pos[0] === start);
  if (key === undefined) {
    return undefined;
  }
  const lineStart = text.lastIndexOf("\n", key.pos[1] - 1) + 1;
  const indent = /^[ \t]*/.exec(text.slice(lineStart))?.[0].length ?? 0;
  return { start: lineStart + indent, end: key.pos[1], ...INDENTATION };
}

function isFirstInLine(text: string, offset: number): boolean {
  return text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset).trim() === "";
}

/** The place of a fault, within one line; an indentation is at fault where what it indents begins. */
function placeOf(text: string, { pos, message }: YAMLError): { start: number; end: number } {
  const quote = /^Missing closing (.)quote/.exec(message)?.[1];
  const [from, to] = quote === undefined ? pos : openQuote(text, quote, pos[0]);
  const gap = /^[ \t]*/.exec(text.slice(from, from + 200))?.[0].length ?? 0;
  const start = from + gap < to || text[from + gap] !== "\n" ? Math.min(from + gap, text.length) : from;
  const newline = text.indexOf("\n", start);
  const lineEnd = newline === -1 ? text.length : newline;
  return { start, end: Math.max(start, Math.min(Math.max(to, start + 1), lineEnd)) };
}

/** Where the quote that is not closed most likely stands: in the first line that has an odd number of them. */
function openQuote(text: string, quote: string, end: number): [number, number] {
  let lineStart = 0;
  for (const line of text.slice(0, end).split("\n")) {
    const closed = quote === '"' ? line.replaceAll(/\\./g, "  ") : line;
    if (closed.split(quote).length % 2 === 0) {
      const at = lineStart + closed.lastIndexOf(quote);
      return [at, at + 1];
    }
    lineStart += line.length + 1;
  }
  return [end, end];
}

const INDENTATION: Words = {
  message: "this line is not indented like the lines that it belongs to.",
  remedy: "Give all keys of a mapping, and all items of a list, the same number of spaces.",
};

const QUOTES = "Put the whole value into quotes.";

function wordsFor(text: string, error: YAMLError): Words {
  const { code, message } = error;
  const [start, end] = error.pos;
  switch (code) {
    case "BAD_INDENT":
      return /Flow (map|sequence)/.test(message) ? unclosedBracket(message) : INDENTATION;
    case "TAB_AS_INDENT":
      return { message: "a tab indents this line.", remedy: "Indent with spaces." };
    case "BLOCK_AS_IMPLICIT_KEY":
    case "MULTILINE_IMPLICIT_KEY":
      return keyFault(text, start, end, code);
    case "KEY_OVER_1024_CHARS":
      return {
        message: "a key has more than 1024 characters.",
        remedy: "Is there a colon in a long text? Put it into quotes.",
      };
    case "MISSING_CHAR":
      return missing(message);
    case "UNEXPECTED_TOKEN":
      return message.startsWith("Block scalar header")
        ? {
            message: "a text of several lines begins in the line below | or >.",
            remedy: "Put it there, further in.",
          }
        : unexpected(text, start);
    case "BAD_SCALAR_START":
      return {
        message: `a value cannot begin with ${text[start] ?? "this"} in YAML.`,
        remedy: QUOTES,
      };
    case "BAD_DQ_ESCAPE":
      return {
        message: `${text.slice(start, start + 2)} is no escape in a text with double quotes.`,
        remedy: "Write \\\\ for a backslash, or put the text into single quotes.",
      };
    case "TAG_RESOLVE_FAILED":
      return {
        message: `the tag ${text.slice(start, Math.min(end, start + 40))} is unknown here.`,
        remedy: "Remove the tag.",
      };
    case "MULTIPLE_DOCS":
      return {
        message: "a second document begins here.",
        remedy: "Keep one document a file; pass several files with -f.",
      };
    case "BAD_ALIAS":
    case "ALIAS_PROPS":
    case "MULTIPLE_ANCHORS":
    case "MULTIPLE_TAGS":
    case "BAD_PROP_ORDER":
      return {
        message: "& and * name and repeat values in YAML, and this is neither.",
        remedy: "Put the value into quotes, or write &name before a value and *name where it is repeated.",
      };
    case "BAD_DIRECTIVE":
      return {
        message: "a line that begins with % tells YAML's version, and this one cannot be read.",
        remedy: "Remove it.",
      };
    case "BLOCK_IN_FLOW":
      return {
        message: "lines of a mapping or a list stand between brackets.",
        remedy: "Close the bracket before, or separate what is in it by commas.",
      };
    case "BAD_COLLECTION_TYPE":
    case "DUPLICATE_KEY":
    case "IMPOSSIBLE":
    case "NON_STRING_KEY":
    case "RESOURCE_EXHAUSTION":
      return { message: `this is not YAML (${code}).`, remedy: "Look at what stands before it." };
  }
}

/** A colon, or its absence, makes a key of what is none. */
function keyFault(text: string, start: number, end: number, code: ErrorCode): Words {
  const line = text.slice(start, end).split("\n", 1)[0] ?? "";
  if (/^-\s/.test(text.slice(start, start + 2))) {
    return INDENTATION;
  }
  if (code === "MULTILINE_IMPLICIT_KEY") {
    return /^-\S/.test(line)
      ? { message: "there is no space behind the dash.", remedy: "Write - item, with a space." }
      : /\S:\S/.test(line)
        ? { message: "there is no space behind the colon.", remedy: "Write key: value, with a space." }
        : {
            message: "this is neither a key with a colon nor part of what stands above.",
            remedy: "Write key: value.",
          };
  }
  return isFirstInLine(text, start) || /^\s/.test(text.slice(start, start + 1))
    ? INDENTATION
    : {
        message: "a value has a colon and a space in it, which begin another value in YAML.",
        remedy: QUOTES,
      };
}

function unclosedBracket(message: string): Words {
  const bracket = message.endsWith("]") ? "[" : "{";
  return {
    message: `the ${bracket} above is not closed.`,
    remedy: `Close it with ${bracket === "[" ? "]" : "}"}, or put the value into quotes where the bracket is text.`,
  };
}

function missing(message: string): Words {
  const quote = /closing (.)quote/.exec(message)?.[1];
  if (quote !== undefined) {
    return { message: `a text that begins with ${quote} does not end.`, remedy: `Close it with ${quote}.` };
  }
  if (/end with a? ?[}\]]|Flow (map|sequence)/.test(message)) {
    return unclosedBracket(message);
  }
  if (message.startsWith("Comments")) {
    return {
      message: "there is no space before this #.",
      remedy: "Put a space before a comment, or the text into quotes.",
    };
  }
  if (/^Missing (, |space after :)/.test(message)) {
    return {
      message: "a comma or a space is missing between brackets.",
      remedy: "Write { key: value, key: value }.",
    };
  }
  return INDENTATION;
}

function unexpected(text: string, start: number): Words {
  const found = text[start];
  if (found !== undefined && "]},".includes(found)) {
    return { message: `there is a ${found} too many.`, remedy: "Remove it, or put the text into quotes." };
  }
  const before = text.slice(0, start).trimEnd();
  return /["'\]}]$/.test(before) && !before.endsWith("\n") && !text.slice(before.length, start).includes("\n")
    ? {
        message: "something stands behind the end of a value.",
        remedy: "A text with quotes or brackets in it goes into quotes as a whole; double a ' within '…'.",
      }
    : INDENTATION;
}
