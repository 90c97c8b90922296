import { ModelComposeError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { defaultWorkflowId, type ComposeDefinition, type WorkflowDefinition } from "./definition.ts";

/** The workflow of an id; for `__default__` the only one, or the one with `default: true`. */
export function workflowOf(
  workflows: readonly WorkflowDefinition[],
  id: string,
): WorkflowDefinition | undefined {
  if (id !== defaultWorkflowId) {
    return workflows.find((workflow) => workflow.id === id);
  }
  return workflows.length === 1 ? workflows[0] : workflows.find((workflow) => workflow.default);
}

/**
 * The workflow that is named; for `__default__` the only one, or the one with `default: true`.
 *
 * @throws ModelComposeError `not-found`
 */
export function findWorkflow({ workflows }: ComposeDefinition, id: string): WorkflowDefinition {
  const found = workflowOf(workflows, id);
  if (found !== undefined) {
    return found;
  }
  const ids = workflows.map((workflow) => workflow.id);
  if (id === defaultWorkflowId) {
    throw new ModelComposeError("not-found", `None of the ${ids.length} workflows is the default.`, {
      remedy: `Name one (${ids.join(", ")}), or write default: true in one.`,
    });
  }
  const near = nearestName(id, ids);
  throw new ModelComposeError("not-found", `There is no workflow "${id}".`, {
    remedy: near === undefined ? `Workflows: ${ids.join(", ")}.` : `Did you mean "${near}"?`,
  });
}
