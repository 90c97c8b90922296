/**
 * A small preprocessor for WGSL, which has no conditional compilation. Four directives, each on a line of its own:
 *
 *     #include "common/reduce.wgsl"      the file once, at its first mention; paths begin at src/kernels
 *     #if NAME / #if !NAME / #if NAME == value / #if NAME != value, with && or || between them (not both)
 *     #elif …, #else, #endif
 *     #for I COUNT … #endfor             the lines COUNT times, a constant or a number, with `$I` for 0u, 1u, …
 *
 * WGSL cannot ask for a loop to be unrolled, and where a compiler does not, arrays that the loop indexes are in memory
 * instead of registers: `#for` unrolls.
 *
 * Constants that are numbers also become `const NAME = 64u;` (`i`, `f` for negative and fractional ones) at the head of
 * the shader, so that array and workgroup sizes can use them. A constant that no line mentions is an error, as is a name
 * that no constant has: a misspelt variant must not become a silent default.
 */

export type ShaderConstant = number | boolean | string;
export type ShaderConstants = Readonly<Record<string, ShaderConstant>>;

/** Reads a WGSL file by its path from src/kernels. */
export type SourceReader = (path: string) => string | undefined;

const WORD = /[A-Za-z_]\w*/g;

interface Branch {
  /** Whether the lines of this branch are kept. */
  isActive: boolean;
  /** Whether a branch of this #if was kept already. */
  isDecided: boolean;
  /** Whether what encloses the #if is kept. */
  isReachable: boolean;
  hasElse: boolean;
  place: string;
}

/**
 * The WGSL of a file with these constants.
 *
 * @throws Error with file and line for a directive that is wrong; this is a fault of the project, not of its user
 */
export function preprocess(path: string, constants: ShaderConstants, read: SourceReader): string {
  const context: Context = {
    constants,
    read,
    mentioned: new Set<string>(),
    included: new Set<string>(),
    directives: [],
  };
  const body = expand(path, "the program", context);
  const words = new Set(body.match(WORD));
  const unused = Object.keys(constants).filter((name) => !context.mentioned.has(name));
  if (unused.length > 0) {
    throw new Error(`${path}: no line mentions the constants ${unused.join(", ")}.`);
  }
  const header: string[] = [];
  for (const [name, value] of Object.entries(constants)) {
    if (typeof value === "number" && words.has(name)) {
      header.push(`const ${name} = ${literal(name, value)};\n`);
    }
  }
  const directives = [...new Set(context.directives)].map((line) => `${line}\n`);
  return directives.join("") + header.join("") + body;
}

interface Context {
  readonly constants: ShaderConstants;
  readonly read: SourceReader;
  /** Every word of every file, those of lines that are left out too. */
  readonly mentioned: Set<string>;
  readonly included: Set<string>;
  /** `enable` and `requires` lines: WGSL wants them first. */
  readonly directives: string[];
}

function expand(path: string, from: string, context: Context): string {
  const source = context.read(path);
  if (source === undefined) {
    throw new Error(`${from}: there is no WGSL file "${path}".`);
  }
  context.included.add(path);
  for (const word of source.match(WORD) ?? []) {
    context.mentioned.add(word);
  }
  const output: string[] = [];
  const stack: Branch[] = [];
  const lines = source.split("\n").map((text, index) => ({ text, place: `${path}:${index + 1}` }));
  for (const { text: line, place } of unroll(lines, context)) {
    const isActive = stack.every((branch) => branch.isActive);
    const directive = /^\s*#(\w+)\s*(.*?)\s*(?:\/\/.*)?$/.exec(line);
    if (directive === null) {
      if (!isActive) {
        continue;
      }
      if (/^\s*(enable|requires)\s/.test(line)) {
        context.directives.push(line.trim());
      } else {
        output.push(line);
      }
      continue;
    }
    const [, name, argument] = directive;
    switch (name) {
      case "include": {
        const file = /^"([^"]+)"$/.exec(argument)?.[1];
        if (file === undefined) {
          throw new Error(`${place}: expected #include "path"; found "${line.trim()}".`);
        }
        if (isActive && !context.included.has(file)) {
          output.push(expand(file, place, context));
        }
        break;
      }
      case "if": {
        const keeps = isActive && evaluate(argument, place, context);
        stack.push({ isActive: keeps, isDecided: keeps, isReachable: isActive, hasElse: false, place });
        break;
      }
      case "elif":
      case "else": {
        const branch = stack.at(-1);
        if (branch === undefined || branch.hasElse) {
          throw new Error(`${place}: #${name} without #if.`);
        }
        branch.hasElse = name === "else";
        const isOpen = branch.isReachable && !branch.isDecided;
        branch.isActive = isOpen && (name === "else" || evaluate(argument, place, context));
        branch.isDecided ||= branch.isActive;
        break;
      }
      case "endif":
        if (stack.pop() === undefined) {
          throw new Error(`${place}: #endif without #if.`);
        }
        break;
      default:
        throw new Error(`${place}: there is no directive #${name}.`);
    }
  }
  const open = stack.at(-1);
  if (open !== undefined) {
    throw new Error(`${open.place}: #if without #endif.`);
  }
  return output.join("\n");
}

interface Line {
  text: string;
  place: string;
}

/** The lines with every `#for` written out. */
function unroll(lines: readonly Line[], context: Context): Line[] {
  const output: Line[] = [];
  for (let i = 0; i < lines.length; i++) {
    const { text, place } = lines[i];
    const keyword = /^\s*#(for|endfor)\b/.exec(text)?.[1];
    if (keyword === undefined) {
      output.push(lines[i]);
      continue;
    }
    if (keyword === "endfor") {
      throw new Error(`${place}: #endfor without #for.`);
    }
    const end = endOfLoop(lines, i);
    const [name, count] = loopHead(text, place, context);
    const body = lines.slice(i + 1, end);
    const mark = new RegExp(`\\$${name}(?!\\w)`, "g");
    for (let turn = 0; turn < count; turn++) {
      const written = body.map((line) => ({ ...line, text: line.text.replace(mark, `${turn}u`) }));
      output.push(...unroll(written, context));
    }
    i = end;
  }
  return output;
}

/** The line of the #endfor that belongs to the #for at `start`. */
function endOfLoop(lines: readonly Line[], start: number): number {
  let depth = 0;
  for (let i = start; i < lines.length; i++) {
    const keyword = /^\s*#(for|endfor)\b/.exec(lines[i].text)?.[1];
    depth += keyword === "for" ? 1 : keyword === "endfor" ? -1 : 0;
    if (depth === 0) {
      return i;
    }
  }
  throw new Error(`${lines[start].place}: #for without #endfor.`);
}

function loopHead(text: string, place: string, { constants }: Context): [name: string, count: number] {
  const match = /^\s*#for\s+([A-Za-z]\w*)\s+(\w+)\s*(?:\/\/.*)?$/.exec(text);
  if (match === null) {
    throw new Error(`${place}: expected #for NAME COUNT; found "${text.trim()}".`);
  }
  const [, name, given] = match;
  const count = /^\d+$/.test(given)
    ? Number(given)
    : Object.hasOwn(constants, given)
      ? constants[given]
      : NaN;
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0) {
    throw new Error(
      `${place}: the count of #for must be a number or a constant that is one; found ${given}.`,
    );
  }
  return [name, count];
}

function evaluate(condition: string, place: string, context: Context): boolean {
  const isAny = condition.includes("||");
  const terms = condition.split(isAny ? "||" : "&&").map((term) => {
    const match = /^\s*(!?)\s*([A-Za-z_]\w*)\s*(?:(==|!=)\s*(-?[\w.]+|"[^"]*"))?\s*$/.exec(term);
    if (match === null) {
      throw new Error(`${place}: the condition "${condition}" is not understood.`);
    }
    const [, not, name, operator, wanted] = match as unknown as [string, string, string, string?, string?];
    const value = Object.hasOwn(context.constants, name) ? context.constants[name] : undefined;
    if (value === undefined) {
      throw new Error(`${place}: there is no constant ${name}.`);
    }
    if (operator === undefined || wanted === undefined) {
      if (typeof value === "string") {
        throw new Error(`${place}: ${name} is a string; compare it with one.`);
      }
      return Boolean(value) !== (not === "!");
    }
    if (not === "!") {
      throw new Error(`${place}: write != instead of ! before a comparison.`);
    }
    return (String(value) === wanted.replaceAll('"', "")) === (operator === "==");
  });
  return isAny ? terms.some(Boolean) : terms.every(Boolean);
}

function literal(name: string, value: number): string {
  if (!Number.isFinite(value)) {
    throw new Error(`The shader constant ${name} must be finite; found ${value}.`);
  }
  if (!Number.isInteger(value)) {
    return `${value}f`;
  }
  return value < 0 ? `${value}i` : `${value}u`;
}
