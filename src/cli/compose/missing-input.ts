import { ModelComposeError } from "../../runtime/errors.ts";
import type { JobDefinition } from "./definition.ts";
import { passesInputOn, throughJobInput } from "./inferred-schema.ts";
import { solePlaceholder, type SourceNode } from "./source-tree.ts";
import { wholePlaceholder, type PathSegment, type Placeholder } from "./template/ast.ts";
import { isObject, show } from "./template/convert.ts";
import { resolveSegment, type Scope } from "./template/evaluate.ts";

/** The input of a run cannot be used; `field` names the part of the workflow's input that is at fault. */
export class WorkflowInputError extends ModelComposeError {
  override readonly name = "WorkflowInputError";
  readonly field: string | undefined;

  constructor(message: string, field?: string, remedy?: string) {
    super("invalid-input", message, { remedy });
    this.field = field;
  }
}

export interface PromptPlace {
  readonly job: JobDefinition;
  /** The template of the prompt, or of one prompt of a list. */
  readonly node: SourceNode;
  /** Position in a list of prompts. */
  readonly position?: number;
  /** The position is one of the list that the template's value is, not of a list of templates. */
  readonly inValue: boolean;
  readonly jobScope: Scope;
  readonly actionScope: Scope;
}

/** The error for a prompt that is null (nothing was given) or empty. */
export function missingPromptError(place: PromptPlace, value: null | ""): WorkflowInputError {
  const fields = fieldsOf(place);
  const [field] = fields;
  const input = place.jobScope.sources.get("input") ?? null;
  const prompt = place.position === undefined ? "the prompt" : `prompt ${place.position}`;
  if (field === undefined) {
    const found = value === null ? "has no value" : "is empty";
    return new WorkflowInputError(
      `${prompt[0]?.toUpperCase()}${prompt.slice(1)} ${found}.`,
      undefined,
      "A prompt is a text of at least one character.",
    );
  }
  const names = fields.map((name) => JSON.stringify(name)).join(" or ");
  if (value === "") {
    return new WorkflowInputError(
      `The workflow input ${names} is empty, but it is ${prompt}.`,
      field,
      "A prompt is a text of at least one character.",
    );
  }
  const found = isObject(input) ? "" : ` The input is ${show(input)}, not an object.`;
  return new WorkflowInputError(
    `The workflow input ${names} is missing, and it is ${prompt}.${found}`,
    field,
    `Add ${JSON.stringify(field)} to the input.`,
  );
}

/** The fields of the workflow's input that could have given the prompt: its placeholder's, then its defaults'. */
function fieldsOf({ job, node, position, inValue, jobScope, actionScope }: PromptPlace): string[] {
  const fields: string[] = [];
  let placeholder = solePlaceholder(node);
  while (placeholder !== undefined) {
    const field =
      placeholder.name === "input" ? workflowField(job, placeholder, jobScope, actionScope) : undefined;
    if (field !== undefined) fields.push(inValue && position !== undefined ? `${field}[${position}]` : field);
    placeholder =
      placeholder.default === undefined ? undefined : wholePlaceholder(placeholder.default.template);
  }
  return fields;
}

function workflowField(
  job: JobDefinition,
  placeholder: Placeholder,
  jobScope: Scope,
  actionScope: Scope,
): string | undefined {
  const own = pathText(placeholder.path, actionScope);
  if (passesInputOn(job)) return own;
  const outer = throughJobInput(job, placeholder);
  // The job's input mapping does not take this field from the workflow's input: name it as the action does.
  if (outer?.name !== "input") return own;
  const rest = pathText(placeholder.path.slice(1), actionScope) ?? "";
  const base = pathText(outer.path, jobScope) ?? "";
  return rest === "" || rest.startsWith("[") ? base + rest : `${base}.${rest}`;
}

/** `user.name`, `prompts[2]`; undefined for no path. */
function pathText(path: readonly PathSegment[], scope: Scope): string | undefined {
  const text = path
    .map((segment) => {
      if (segment.kind === "every") return "[*]";
      const fixed = resolveSegment(segment, scope);
      if (fixed?.kind === "key") return `.${fixed.key}`;
      if (fixed?.kind === "index") return `[${fixed.index}]`;
      return fixed === undefined ? "[?]" : `[${fixed.from ?? ""}:${fixed.to ?? ""}]`;
    })
    .join("");
  return text === "" ? undefined : text.replace(/^\./, "");
}
