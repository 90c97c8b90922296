import { solePlaceholder, type SourceNode } from "../../source/source-tree.ts";
import { isObject, show } from "../../template/convert.ts";
import type { FixedSegment } from "../../template/evaluate.ts";
import { WorkflowInputError } from "../input-error.ts";
import { fieldsOf } from "../origin.ts";
import type { CallSite } from "../site.ts";

/** A text that a call cannot do without. */
export interface NeededText {
  /** Name of the text in messages: `the prompt`, `prompt 3`, `the content of messages[1]`. */
  readonly name: string;
  /** The template that gives it. */
  readonly node: SourceNode;
  /** Place of the text within the template's value; absent: it is all of it. */
  readonly within?: readonly FixedSegment[];
  /** What a person can do where the text is empty. */
  readonly remedy: string;
}

/** The error for a text that is null (nothing was given) or empty. */
export function missingTextError(
  { name, node, within, remedy }: NeededText,
  value: null | "",
  { scope, run }: CallSite,
): WorkflowInputError {
  const fields = fieldsOf(node, scope, within);
  const [field] = fields;
  if (field === undefined) {
    const found = value === null ? "has no value" : "is empty";
    const written = solePlaceholder(node)?.text;
    const what = `${name[0]?.toUpperCase()}${name.slice(1)} ${found}`;
    return new WorkflowInputError(
      written === undefined ? `${what}.` : `${what}: ${written}.`,
      undefined,
      remedy,
    );
  }
  const names = fields.map((one) => JSON.stringify(one)).join(" or ");
  if (value === "") {
    const message = `The workflow input ${names} is empty, but it is ${name}.`;
    return new WorkflowInputError(message, field, remedy);
  }
  const found = isObject(run.input) ? "" : ` The input is ${show(run.input ?? null)}, not an object.`;
  return new WorkflowInputError(
    `The workflow input ${names} is missing${name === field ? "" : `, and it is ${name}`}.${found}`,
    field,
    `Add ${JSON.stringify(field)} to the input.`,
  );
}
