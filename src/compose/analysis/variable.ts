import { placeholdersOf, type Annotation, type Placeholder, type TypeName } from "../template/ast.ts";
import type { GenerationParameterName } from "../definition/parameters.ts";
import { defaultValue } from "../template/evaluate.ts";

/** A value that a workflow takes or gives, as far as its templates tell. */
export interface Variable {
  /** A path such as `user.name` or `list[0].x`. Absent: the variable is the whole input or output. */
  readonly name?: string;
  /** The type in the template language; "string" where nothing tells it. */
  readonly type: TypeName;
  readonly isList: boolean;
  /** Arguments of the type: the fields of an object, min,max,step of a slider, what a stream is of. */
  readonly subtype?: string;
  readonly format?: string;
  /** The options of a select. */
  readonly options?: readonly string[];
  readonly default?: unknown;
  /** The parameter of a generation that the value is, where it is handed on as it is. */
  readonly parameter?: GenerationParameterName;
  /** Whether a run without it is an error. */
  readonly required: boolean;
  readonly annotations: readonly Annotation[];
}

/** What the place of a placeholder tells about its value. */
export interface Hint {
  /** The type of a placeholder that names none itself. */
  readonly type?: TypeName;
  readonly parameter?: GenerationParameterName;
  readonly isList?: boolean;
  /** Whether there is nothing to do without the value. */
  readonly required?: boolean;
  /** Whether the default of the placeholder is kept from being shown. */
  readonly secret?: boolean;
}

/**
 * The variable that a placeholder stands for.
 *
 * @param name path of the variable within the input or output; undefined: the whole of it
 */
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
    parameter: hint.parameter,
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
