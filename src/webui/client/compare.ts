/** Runs beside each other: what they share, and what each has of its own. */
import type { WireVariable, WireWorkflow } from "./wire.ts";

/** The most runs beside each other. */
export const MOST_COLUMNS = 4;

/** The variables that all runs share (what is asked), and those that each has of its own (how it is answered). */
export function splitVariables(variables: readonly WireVariable[]): {
  readonly shared: WireVariable[];
  readonly own: WireVariable[];
} {
  return {
    shared: variables.filter(({ parameter }) => parameter === undefined),
    own: variables.filter(({ parameter }) => parameter !== undefined),
  };
}

/** The workflows that are asked the same as one of them: it first. Conversations are another thing. */
export function comparable(workflow: WireWorkflow, all: readonly WireWorkflow[]): WireWorkflow[] {
  const asked = question(workflow);
  const others = all.filter(
    (other) =>
      other.workflow_id !== workflow.workflow_id &&
      other.conversation === undefined &&
      question(other) === asked,
  );
  return [workflow, ...others];
}

/** What is asked of a workflow, as a text that two have in common where the same input answers both. */
function question({ input }: WireWorkflow): string {
  const { shared } = splitVariables(input);
  return JSON.stringify(shared.map(({ name = "", type, is_list }) => [name, type, is_list]).sort());
}
