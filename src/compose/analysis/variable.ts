import { placeholdersOf, type Annotation, type Placeholder, type TypeName } from "../template/ast.ts";
import { defaultValue } from "../template/evaluate.ts";

/** A value that a workflow takes or gives, as far as its templates tell. */
export interface Variable {
  /** `user.name`, `list[0].x`. Absent: the whole input or output. */
  readonly name?: string;
  /** A type of the template language; "string" where nothing tells. */
  readonly type: TypeName;
  readonly isList: boolean;
  /** The fields of an object, min,max,step of a slider, what a stream is of. */
  readonly subtype?: string;
  readonly format?: string;
  /** The options of a select. */
  readonly options?: readonly string[];
  readonly default?: unknown;
  /** A run without it is an error. */
  readonly required: boolean;
  readonly annotations: readonly Annotation[];
}

/** What the place of a placeholder tells about its value. */
export interface Hint {
  /** Where the placeholder has none of its own. */
  readonly type?: TypeName;
  readonly isList?: boolean;
  /** Without it there is nothing to do. */
  readonly required?: boolean;
  /** Its default is not shown. */
  readonly secret?: boolean;
}

export function variableOf(placeholder: Placeholder, name: string | undefined, hint: Hint): Variable {
  const { type, annotations } = placeholder;
  const isSelect = type?.name === "select";
  const takesList = placeholder.path.some(({ kind }) => kind !== "key" && kind !== "index");
  return {
    name,
    type: type?.name ?? hint.type ?? "string",
    isList: takesList || (type?.list ?? hint.isList ?? false),
    subtype: isSelect || !type?.arguments.length ? undefined : type.arguments.join(","),
    format: type?.format,
    options: isSelect ? type.arguments : undefined,
    default: hint.secret ? undefined : literalDefault(placeholder),
    required: (hint.required ?? false) && placeholder.default === undefined,
    annotations,
  };
}

/** A default that does not depend on the input. */
function literalDefault(placeholder: Placeholder): unknown {
  const fallback = placeholder.default;
  if (fallback === undefined || !placeholdersOf(fallback.template).next().done) {
    return undefined;
  }
  return defaultValue(fallback, placeholder.type, { sources: new Map() });
}
