import { ModelComposeError } from "../../base/errors.ts";
import {
  isPlainText,
  literalText,
  wholePlaceholder,
  type DefaultValue,
  type PathSegment,
  type Placeholder,
  type Template,
  type TypeSpec,
} from "./ast.ts";
import { ConversionError, convert, isObject, parseBareLiteral, toText } from "./convert.ts";

/** What templates may refer to: sources by name, and where warnings go. */
export interface Scope {
  /** Values of the sources `input`, `output`, `jobs` and so on. A chunk of a stream has the name `result[]`. */
  readonly sources: ReadonlyMap<string, unknown>;
  /** Hears of a placeholder that was empty inside a longer text, and the like. */
  readonly warn?: (message: string) => void;
}

/**
 * The value of a template. A template that is one placeholder has the value itself, of whatever type (null when
 * it is missing and has no default); any other is a text in which null is empty and lists and objects are JSON.
 *
 * @throws ModelComposeError `invalid-input` when a value cannot be converted as `as` asks
 */
export function evaluateTemplate(template: Template, scope: Scope): unknown {
  const whole = wholePlaceholder(template);
  if (whole !== undefined) {
    return evaluatePlaceholder(whole, scope);
  }
  return template.parts
    .map((part) => {
      if (typeof part === "string") {
        return part;
      }
      const value = evaluatePlaceholder(part, scope);
      if (value === null) {
        scope.warn?.(`${part.text} has no value and is empty in the text.`);
      }
      return toText(value);
    })
    .join("");
}

/** The value of one placeholder; null when nothing is there. */
export function evaluatePlaceholder(placeholder: Placeholder, scope: Scope): unknown {
  const source = scope.sources.get(placeholder.chunk ? `${placeholder.name}[]` : placeholder.name);
  let value = follow(source ?? null, placeholder.path, 0, scope);
  if (value === null && placeholder.default !== undefined) {
    value = defaultValue(placeholder.default, placeholder.type, scope);
  }
  return value === null ? null : convertFor(placeholder, value);
}

/** Converts a value as the placeholder's `as` says. @throws ModelComposeError `invalid-input` */
export function convertFor(placeholder: Placeholder, value: unknown): unknown {
  if (placeholder.type === undefined) {
    return value;
  }
  try {
    return convert(value, placeholder.type);
  } catch (error) {
    if (!(error instanceof ConversionError)) {
      throw error;
    }
    throw new ModelComposeError("invalid-input", `${placeholder.text}: ${error.message}.`, { cause: error });
  }
}

/**
 * The value of a default: with quotes, or with `as text`, it is text; otherwise a number, true, false, null or
 * a JSON list or object where it reads as one.
 */
export function defaultValue(fallback: DefaultValue, type: TypeSpec | undefined, scope: Scope): unknown {
  const { template, quoted } = fallback;
  if (!isPlainText(template)) {
    return evaluateTemplate(template, scope);
  }
  const text = literalText(template);
  return quoted || isTextType(type) ? text : parseBareLiteral(text);
}

function isTextType(type: TypeSpec | undefined): boolean {
  return type !== undefined && !type.list && ["string", "text", "markdown"].includes(type.name);
}

/** Walks a path through own properties only; what is not there is null. */
function follow(value: unknown, path: readonly PathSegment[], from: number, scope: Scope): unknown {
  let current = value;
  for (let i = from; i < path.length; i++) {
    const segment = path[i];
    if (segment === undefined || current === null) {
      return null;
    }
    if (segment.kind === "every") {
      if (!Array.isArray(current)) {
        return null;
      }
      return current.map((item: unknown) => follow(item ?? null, path, i + 1, scope));
    }
    current = step(current, resolveSegment(segment, scope)) ?? null;
  }
  return current;
}

/** A step of a path whose value is known: no placeholder, and not every element. */
export type FixedSegment = Exclude<PathSegment, { kind: "computed" } | { kind: "every" }>;

/** Puts in the value of `[${index}]`: a whole number (or its digits) is an index, other text is a key. */
export function resolveSegment(
  segment: Exclude<PathSegment, { kind: "every" }>,
  scope: Scope,
): FixedSegment | undefined {
  if (segment.kind !== "computed") {
    return segment;
  }
  const value = evaluatePlaceholder(segment.placeholder, scope);
  if (typeof value === "number" && Number.isInteger(value)) {
    return { kind: "index", index: value };
  }
  if (typeof value !== "string") {
    return undefined;
  }
  return /^-?\d+$/.test(value) ? { kind: "index", index: Number(value) } : { kind: "key", key: value };
}

function step(value: unknown, segment: FixedSegment | undefined): unknown {
  switch (segment?.kind) {
    case "key":
      return isObject(value) && Object.hasOwn(value, segment.key) ? value[segment.key] : null;
    case "index":
      return Array.isArray(value) ? (value.at(segment.index) as unknown) : null;
    case "slice":
      return Array.isArray(value) ? value.slice(segment.from, segment.to) : null;
    case undefined:
      return null;
  }
}
