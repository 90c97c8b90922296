import { WorkflowInputError } from "../input-error.ts";
import { solePlaceholder, type SourceNode } from "../../source/source-tree.ts";
import { isObject, show } from "../../template/convert.ts";
import type { Scope } from "../../template/evaluate.ts";
import { fieldsOf, type Origins } from "../origin.ts";

export interface PromptPlace {
  /** The template of the prompt, or of one prompt of a list. */
  readonly node: SourceNode;
  /** What is missing, for messages. Absent: the prompt. */
  readonly what?: string;
  /** Position in a list of prompts. */
  readonly position?: number;
  /** The position is one of the list that the template's value is, not of a list of templates. */
  readonly inValue: boolean;
  readonly scope: Scope;
  readonly origins: Origins;
  /** The input of the run. */
  readonly runInput: unknown;
}

/** The error for a prompt that is null (nothing was given) or empty. */
export function missingPromptError(place: PromptPlace, value: null | ""): WorkflowInputError {
  const { node, position, inValue, scope, origins, runInput } = place;
  const within = inValue && position !== undefined ? [{ kind: "index", index: position } as const] : [];
  const fields = fieldsOf(node, scope, origins, within);
  const [field] = fields;
  const prompt = place.what ?? (position === undefined ? "the prompt" : `prompt ${position}`);
  const oneCharacter =
    place.what === undefined ? "A prompt is a text of at least one character." : "Give it a text.";
  if (field === undefined) {
    const found = value === null ? "has no value" : "is empty";
    const written = solePlaceholder(node)?.text;
    const what = `${prompt[0]?.toUpperCase()}${prompt.slice(1)} ${found}`;
    return new WorkflowInputError(
      written === undefined ? `${what}.` : `${what}: ${written}.`,
      undefined,
      oneCharacter,
    );
  }
  const names = fields.map((name) => JSON.stringify(name)).join(" or ");
  if (value === "") {
    const message = `The workflow input ${names} is empty, but it is ${prompt}.`;
    return new WorkflowInputError(message, field, oneCharacter);
  }
  const found = isObject(runInput) ? "" : ` The input is ${show(runInput ?? null)}, not an object.`;
  return new WorkflowInputError(
    `The workflow input ${names} is missing${prompt === field ? "" : `, and it is ${prompt}`}.${found}`,
    field,
    `Add ${JSON.stringify(field)} to the input.`,
  );
}
