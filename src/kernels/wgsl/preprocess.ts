/**
 * A small preprocessor for WGSL, which has no conditional compilation. Four directives, each on a line of its own:
 *
 *     #include "common/reduce.wgsl"      the file once, at its first mention; paths begin at src/kernels
 *     #if NAME / #if !NAME / #if NAME == value / #if NAME != value, with && or || between them (not both)
 *     #elif …, #else, #endif
 *     #for I in NAME / #endfor           the lines between, NAME times, with $I replaced by 0, 1, …; may be nested. This is for
 *                                        variables that have no index, such as the matrices of a subgroup
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
  const body = unroll(path, expand(path, "the program", context), constants);
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
  const loops: string[] = [];
  const stack: Branch[] = [];
  for (const [index, line] of source.split("\n").entries()) {
    const place = `${path}:${index + 1}`;
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
      case "for":
      case "endfor":
        // Loops are for the end, when what they enclose is complete.
        if (isActive) {
          if (name === "for") {
            loops.push(place);
          } else if (loops.pop() === undefined) {
            throw new Error(`${place}: #endfor without #for.`);
          }
          output.push(line);
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
  if (loops.length > 0) {
    throw new Error(`${loops.join(", ")}: #for without #endfor.`);
  }
  return output.join("\n");
}

/** Repeats what stands in loops, the inner ones first. */
function unroll(path: string, text: string, constants: ShaderConstants): string {
  const innermost = /^[ \t]*#for[ \t]+(.*)\n((?:(?![ \t]*#for\b).*\n)*?)[ \t]*#endfor[ \t]*\n/m;
  let result = text.endsWith("\n") ? text : `${text}\n`;
  for (let found = innermost.exec(result); found !== null; found = innermost.exec(result)) {
    const [loop, head, body] = found;
    const match = /^([A-Z]) in ([A-Z_]+)\s*$/.exec(head);
    const count = match === null ? undefined : constants[match[2]];
    if (match === null || typeof count !== "number") {
      throw new Error(`${path}: expected "#for I in NAME" with a NAME that is a number; found "${head}".`);
    }
    const copies = Array.from({ length: count }, (_, i) => body.replaceAll(`$${match[1]}`, String(i)));
    result = result.slice(0, found.index) + copies.join("") + result.slice(found.index + loop.length);
  }
  return text.endsWith("\n") ? result : result.slice(0, -1);
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
