/**
 * The syntax tree of a template: literal text with `${…}` placeholders.
 *
 *     ${ source path* [as type] [| default] @(annotation)* }
 */
export interface Template {
  /** The text it was parsed from. */
  readonly source: string;
  readonly parts: readonly TemplatePart[];
}

/** A text, already unescaped, or a placeholder. Two texts never stand side by side. */
export type TemplatePart = string | Placeholder;

/** A `${…}` of a template. */
export interface Placeholder {
  /** Offsets into the template's source, from `$` to behind `}`. */
  readonly start: number;
  readonly end: number;
  /** The text as written, for messages. */
  readonly text: string;
  /** The first name: `input`, `jobs`, `output`, `result`, `context`, `env`, `index`, `item`, … */
  readonly name: string;
  /** Whether the source is `result[]`: one chunk of a stream. */
  readonly chunk: boolean;
  readonly path: readonly PathSegment[];
  readonly type?: TypeSpec;
  readonly default?: DefaultValue;
  readonly annotations: readonly Annotation[];
}

/** One step of a placeholder's path. */
export type PathSegment =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "index"; readonly index: number }
  | { readonly kind: "slice"; readonly from?: number; readonly to?: number }
  /** The step `[*]`, which takes the rest of the path for every element. */
  | { readonly kind: "every" }
  /** The step `[${index}]`: a number indexes a list, a text is a key. */
  | { readonly kind: "computed"; readonly placeholder: Placeholder };

/** The type behind `as`. */
export interface TypeSpec {
  /** Name of the type as written, with aliases (`int`, `float`, `bool`) replaced. */
  readonly name: TypeName;
  /** Whether it is `T[]`, a list. */
  readonly list: boolean;
  /** Arguments behind `/`: the options of select, the fields of object, min,max,step of slider. */
  readonly arguments: readonly string[];
  /** Format behind `;`, in the older dialect: stream, sse-text, sse-json. */
  readonly format?: string;
}

/** The names of all types. */
export const typeNames = [
  "string",
  "text",
  "markdown",
  "integer",
  "number",
  "boolean",
  "json",
  "list",
  "object",
  "base64",
  "select",
  "slider",
  "stream",
  "any",
  "none",
] as const;
/** The name of a type. */
export type TypeName = (typeof typeNames)[number];

/** The default of a placeholder. */
export interface DefaultValue {
  /** The text behind `|`, without the quotes if it was quoted. */
  readonly template: Template;
  readonly quoted: boolean;
}

/** A note on a placeholder: `@(name text)`. */
export interface Annotation {
  readonly name: string;
  readonly text: string;
}

/** True when a template has no placeholder. */
export function isPlainText(template: Template): boolean {
  return template.parts.every((part) => typeof part === "string");
}

/** The text of a template without placeholders. */
export function literalText(template: Template): string {
  return template.parts.filter((part) => typeof part === "string").join("");
}

/** The placeholder that spans the whole template, whose value is used as it is and not as text. */
export function wholePlaceholder(template: Template): Placeholder | undefined {
  const [only] = template.parts;
  return template.parts.length === 1 && typeof only === "object" ? only : undefined;
}

/** Every placeholder of a template, those inside defaults and brackets included, in the order of the text. */
export function* placeholdersOf(template: Template): Generator<Placeholder> {
  for (const part of template.parts) {
    if (typeof part === "object") {
      yield* withNested(part);
    }
  }
}

function* withNested(placeholder: Placeholder): Generator<Placeholder> {
  yield placeholder;
  for (const segment of placeholder.path) {
    if (segment.kind === "computed") {
      yield* withNested(segment.placeholder);
    }
  }
  if (placeholder.default !== undefined) {
    yield* placeholdersOf(placeholder.default.template);
  }
}
