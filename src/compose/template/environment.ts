import { ModelComposeError } from "../../base/errors.ts";
import {
  isPlainText,
  wholePlaceholder,
  type DefaultValue,
  type PathSegment,
  type Placeholder,
  type Template,
  type TemplatePart,
} from "./ast.ts";
import { toText } from "./convert.ts";
import { convertFor, defaultValue } from "./evaluate.ts";

/** The variables that `${env.NAME}` sees. */
export type Environment = ReadonlyMap<string, string>;

/** Where variables are looked up. */
export type Variables = Pick<Environment, "get">;

/** The error for an `${env.NAME}` that cannot be resolved. */
export class EnvironmentError extends Error {
  override readonly name = "EnvironmentError";
  readonly placeholder: Placeholder;
  readonly remedy: string;
  /** Whether the message quotes what the variable holds. */
  readonly showsValue: boolean;

  constructor(placeholder: Placeholder, message: string, remedy: string, showsValue = false) {
    super(message);
    this.placeholder = placeholder;
    this.remedy = remedy;
    this.showsValue = showsValue;
  }
}

/** What a scalar with `${env.…}` became: a value, or a template with the rest of the placeholders. */
export type Resolved =
  { readonly value: unknown; readonly fromVariable: boolean } | { readonly template: Template };

/**
 * Puts the environment into a template, once, at load. What a variable holds is text and never read as a
 * template again.
 *
 * @throws EnvironmentError
 */
export function resolveEnvironment(template: Template, environment: Variables): Resolved {
  const [only] = template.parts;
  if (template.parts.length === 1 && typeof only === "object" && only.name === "env") {
    return resolveOne(only, environment);
  }
  return { template: resolveTemplate(template, environment) };
}

function resolveOne(placeholder: Placeholder, environment: Variables): Resolved {
  const name = variableName(placeholder);
  const value = environment.get(name);
  if (value !== undefined) {
    return { value: convertEnvironment(placeholder, value), fromVariable: placeholder.type === undefined };
  }
  if (placeholder.default === undefined) {
    throw new EnvironmentError(
      placeholder,
      `the environment variable ${name} is not set and has no default`,
      `Set it (-e ${name}=VALUE, --env-file, .env), or write \${env.${name} | DEFAULT}.`,
    );
  }
  const fallback = resolveDefault(placeholder.default, environment);
  if (!isPlainText(fallback.template)) {
    if (placeholder.type !== undefined) {
      throw new EnvironmentError(
        placeholder,
        `${placeholder.text} has a type, but its default is only known when a workflow runs`,
        "Write the type inside the placeholder that is the default.",
      );
    }
    return { template: fallback.template };
  }
  const literal = defaultValue(fallback, placeholder.type, { sources: new Map() });
  return { value: literal === null ? null : convertEnvironment(placeholder, literal), fromVariable: false };
}

function resolveTemplate(template: Template, environment: Variables): Template {
  const parts: TemplatePart[] = [];
  const add = (part: TemplatePart): void => {
    const last = parts.at(-1);
    if (typeof part === "string" && typeof last === "string") {
      parts[parts.length - 1] = last + part;
    } else if (part !== "") {
      parts.push(part);
    }
  };
  for (const part of template.parts) {
    if (typeof part === "string") {
      add(part);
    } else if (part.name !== "env") {
      add(resolveInside(part, environment));
    } else {
      const resolved = resolveOne(part, environment);
      if ("template" in resolved) {
        resolved.template.parts.forEach(add);
      } else {
        add(toText(resolved.value));
      }
    }
  }
  return { source: template.source, parts };
}

/** Resolves the environment inside a placeholder of another source: in its brackets and its default. */
function resolveInside(placeholder: Placeholder, environment: Variables): Placeholder {
  return {
    ...placeholder,
    path: placeholder.path.map((segment) => resolveSegment(segment, environment)),
    default: placeholder.default === undefined ? undefined : resolveDefault(placeholder.default, environment),
  };
}

function resolveSegment(segment: PathSegment, environment: Variables): PathSegment {
  if (segment.kind !== "computed") {
    return segment;
  }
  if (segment.placeholder.name !== "env") {
    return { kind: "computed", placeholder: resolveInside(segment.placeholder, environment) };
  }
  const resolved = resolveOne(segment.placeholder, environment);
  if ("template" in resolved) {
    const placeholder = wholePlaceholder(resolved.template);
    if (placeholder !== undefined) {
      return { kind: "computed", placeholder };
    }
    throw new EnvironmentError(
      segment.placeholder,
      `the default of ${segment.placeholder.text} is not an index`,
      "Write a number, or one placeholder.",
    );
  }
  const text = toText(resolved.value);
  return /^-?\d+$/.test(text) ? { kind: "index", index: Number(text) } : { kind: "key", key: text };
}

function resolveDefault(fallback: DefaultValue, environment: Variables): DefaultValue {
  return { ...fallback, template: resolveTemplate(fallback.template, environment) };
}

function variableName(placeholder: Placeholder): string {
  const [segment] = placeholder.path;
  if (placeholder.path.length === 1 && segment?.kind === "key" && !placeholder.chunk) {
    return segment.key;
  }
  throw new EnvironmentError(
    placeholder,
    `${placeholder.text} does not name an environment variable`,
    "Write ${env.NAME}.",
  );
}

function convertEnvironment(placeholder: Placeholder, value: unknown): unknown {
  try {
    return convertFor(placeholder, value);
  } catch (error) {
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    throw new EnvironmentError(
      placeholder,
      error.message.replace(/\.$/, ""),
      "Set the variable to such a value.",
      true,
    );
  }
}
