import { clipQuotes } from "../../base/clip.ts";
import { ModelComposeError, type ErrorCode } from "../../base/errors.ts";

/** One compose file as it was read. */
export interface SourceFile {
  /** Path as shown to people: relative to the working directory where that is shorter. */
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  readonly text: string;
}

/** A range of characters of a compose file: UTF-16 offsets, `end` exclusive. */
export interface Location {
  readonly file: SourceFile;
  readonly start: number;
  readonly end: number;
}

/** One thing that is wrong in a compose file. */
export interface Problem {
  readonly code: Extract<ErrorCode, "invalid-config" | "unsupported" | "not-found">;
  /** What is wrong, in one sentence: the thing, what was expected, what was found. */
  readonly message: string;
  readonly remedy?: string;
  readonly location?: Location;
}

/** How many problems a message shows; the others are counted. */
const MOST_SHOWN = 20;

/** The error for compose files that cannot be used; carries every problem found, in the order of the text. */
export class ComposeFileError extends ModelComposeError {
  override readonly name = "ComposeFileError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly [Problem, ...Problem[]]) {
    const shown = problems.slice(0, MOST_SHOWN).map(formatProblem);
    const count =
      problems.length > MOST_SHOWN
        ? `${problems.length} problems, of which these are the first ${MOST_SHOWN}.`
        : `${problems.length} problems.`;
    super(problems[0].code, [...shown, ...(problems.length === 1 ? [] : [count])].join("\n\n"));
    this.problems = problems;
  }
}

/** Collects problems so that a person sees all of them at once. */
export class ProblemList {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #settled: Location[] = [];
  /** Whether unknown keys become warnings. */
  readonly lenient: boolean;

  constructor(lenient = false) {
    this.lenient = lenient;
  }

  invalid(message: string, location?: Location, remedy?: string): void {
    this.#add({ code: "invalid-config", message, remedy, location });
  }

  unsupported(message: string, location?: Location, remedy?: string): void {
    this.#add({ code: "unsupported", message, remedy, location });
  }

  unknownKey(message: string, location: Location, remedy: string): void {
    if (this.lenient) {
      this.warnings.push(clipped({ code: "invalid-config", message, location }));
    } else {
      this.#add({ code: "invalid-config", message, remedy, location });
    }
  }

  /** Says that what is wrong with the value here has been reported: problems that follow from it are not. */
  settle(location: Location): void {
    this.#settled.push(location);
  }

  #add(problem: Problem): void {
    const { location } = problem;
    const follows =
      location !== undefined &&
      this.#settled.some(
        ({ file, start, end }) => file === location.file && start <= location.start && location.end <= end,
      );
    if (!follows) {
      this.problems.push(clipped(problem));
    }
  }

  /** Throws a ComposeFileError when there is any problem. */
  throwIfAny(): void {
    const [first, ...rest] = this.problems.toSorted(byPosition);
    if (first !== undefined) {
      throw new ComposeFileError([first, ...rest]);
    }
  }
}

function clipped(problem: Problem): Problem {
  const { message, remedy } = problem;
  return { ...problem, message: clipQuotes(message), remedy: remedy && clipQuotes(remedy) };
}

function byPosition(a: Problem, b: Problem): number {
  if (a.location === undefined || b.location === undefined) {
    return 0;
  }
  if (a.location.file !== b.location.file) {
    return 0;
  }
  return a.location.start - b.location.start;
}

/** The 1-based line and column (in UTF-16 units) of an offset. */
export function lineAndColumn(file: SourceFile, offset: number): { line: number; column: number } {
  const before = file.text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: offset - lineStart + 1 };
}

/** A place as messages show it: `file:line:column`. */
export function formatLocation(location: Location): string {
  const { line, column } = lineAndColumn(location.file, location.start);
  return `${location.file.name}:${line}:${column}`;
}

/**
 * A problem as a person reads it:
 *
 *     model-compose.yml:7:5: unknown key "temprature" in params.
 *       7 |     temprature: 0.7
 *         |     ^^^^^^^^^^
 *       Did you mean "temperature"?
 */
export function formatProblem(problem: Problem): string {
  const { message, remedy, location } = problem;
  if (location === undefined) {
    return remedy === undefined ? message : `${message} ${remedy}`;
  }
  const lines = [`${formatLocation(location)}: ${message}`, ...caretLines(location)];
  if (remedy !== undefined) {
    lines.push(`  ${remedy}`);
  }
  return lines.join("\n");
}

const secretKey = /^(headers|.*(token|api[-_]?key|authorization|password|secret|cookie))$/i;
const secretPlaces = new WeakMap<SourceFile, Location[]>();

/** Whether the values of a key are never shown: those of tokens, keys, passwords and the headers of requests. */
export function isSecretKey(key: string): boolean {
  return secretKey.test(key);
}

/** Keeps what stands at a place from being shown in any problem. */
export function markSecret(location: Location): void {
  const places = secretPlaces.get(location.file);
  if (places === undefined) {
    secretPlaces.set(location.file, [location]);
  } else {
    places.push(location);
  }
}

/** The most characters of a line that are shown, around the place that is meant. */
const LINE_WIDTH = 120;
/** How many of them stand before the place. */
const LINE_LEAD = 40;

function caretLines({ file, start, end }: Location): string[] {
  const { line, column } = lineAndColumn(file, start);
  const lineStart = start - column + 1;
  const newline = file.text.indexOf("\n", start);
  const lineEnd = newline === -1 ? file.text.length : newline;
  const whole = redactSecrets(visibleLine(file, lineStart, lineEnd).replace(/\r$/, ""));
  const from = whole.length > LINE_WIDTH ? Math.max(0, column - 1 - LINE_LEAD) : 0;
  const to = Math.min(whole.length, from + LINE_WIDTH);
  const lead = from > 0 ? "…" : "";
  const source = `${lead}${whole.slice(from, to)}${to < whole.length ? "…" : ""}`;
  const count = Math.min(end, lineEnd, lineStart + to) - start;
  const number = String(line);
  // Tabs are kept, so that the carets stand under what they point at.
  const indent = (lead + whole.slice(from, column - 1)).replace(/[^\t]/g, " ");
  const gap = " ".repeat(number.length);
  return [`  ${number} | ${source}`, `  ${gap} | ${indent}${"^".repeat(Math.max(1, count))}`];
}

/** A line without the secrets that were found in it. */
function visibleLine(file: SourceFile, lineStart: number, lineEnd: number): string {
  let line = "";
  let at = lineStart;
  const places = secretPlaces.get(file) ?? [];
  for (const { start, end } of places.toSorted((a, b) => a.start - b.start)) {
    const from = Math.max(start, at);
    const to = Math.min(end, lineEnd);
    if (from >= to || file.text.slice(from, to).trim() === "") {
      continue;
    }
    line += `${file.text.slice(at, from)}…`;
    at = to;
  }
  return line + file.text.slice(at, lineEnd);
}

const secretWord = /(?:token|api[-_]?key|authorization|password|secret|cookie)["']?\s{0,20}:\s{0,20}(?=\S)/i;

/** Hides what may be secret in text that was not read as YAML, so that nobody knows what is a key in it. */
function redactSecrets(line: string): string {
  const match = secretWord.exec(line);
  return match === null ? line : `${line.slice(0, match.index + match[0].length)}…`;
}
