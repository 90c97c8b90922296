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

/** The error for compose files that cannot be used; carries every problem found, in the order of the text. */
export class ComposeFileError extends ModelComposeError {
  override readonly name = "ComposeFileError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly [Problem, ...Problem[]]) {
    const shown = problems.map(formatProblem).join("\n\n");
    super(problems[0].code, problems.length === 1 ? shown : `${shown}\n\n${problems.length} problems.`);
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
      this.warnings.push({ code: "invalid-config", message, location });
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
      this.problems.push(problem);
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
  const places = secretPlaces.get(location.file) ?? [];
  secretPlaces.set(location.file, [...places, location]);
}

function caretLines({ file, start, end }: Location): string[] {
  const { line, column } = lineAndColumn(file, start);
  const lineStart = start - column + 1;
  const newline = file.text.indexOf("\n", start);
  const lineEnd = newline === -1 ? file.text.length : newline;
  const source = redactSecrets(visibleLine(file, lineStart, lineEnd).replace(/\r$/, ""));
  const carets = "^".repeat(Math.max(1, Math.min(end, lineEnd, lineStart + source.length) - start));
  const number = String(line);
  // Tabs are kept, so that the carets stand under what they point at.
  const indent = source.slice(0, column - 1).replace(/[^\t]/g, " ");
  return [`  ${number} | ${source}`, `  ${" ".repeat(number.length)} | ${indent}${carets}`];
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

/** Hides what may be secret in text that was not read as YAML, so that nobody knows what is a key in it. */
function redactSecrets(line: string): string {
  return line.replace(
    /([\w-]*(?:token|api[-_]?key|authorization|password|secret|cookie)["']?\s*:\s*)\S.*$/i,
    "$1…",
  );
}
