import { nearestName } from "../../base/nearest-name.ts";
import {
  callOf,
  defaultWorkflowId,
  type WorkflowAction,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import { workflowOf } from "../definition/find-workflow.ts";
import type { ProblemList } from "../source/problems.ts";

/** Reports calls of workflows that do not exist, and workflows that call themselves, directly or by others. */
export function checkWorkflowCalls(workflows: readonly WorkflowDefinition[], problems: ProblemList): void {
  const reported = new Set<WorkflowAction>();
  for (const action of workflows.flatMap(calledBy)) {
    if (reported.has(action) || workflowOf(workflows, action.workflow) !== undefined) {
      continue;
    }
    reported.add(action);
    reportMissing(action, workflows, problems);
  }
  for (const workflow of workflows) {
    for (const action of calledBy(workflow)) {
      const cycle = pathTo(workflow, workflowOf(workflows, action.workflow), workflows, new Set());
      if (cycle === undefined || reported.has(action)) {
        continue;
      }
      reported.add(action);
      problems.invalid(
        `the workflow "${workflow.id}" calls itself: ${[workflow, ...cycle].map(({ id }) => id).join(" → ")}.`,
        action.workflowLocation,
        "Workflows call each other without cycles.",
      );
    }
  }
}

function calledBy(workflow: WorkflowDefinition): WorkflowAction[] {
  return workflow.jobs.flatMap((job) => {
    const call = callOf(job);
    return call?.kind === "workflow" ? [call.action] : [];
  });
}

/** The workflows on the way from one to another, both included. */
function pathTo(
  target: WorkflowDefinition,
  from: WorkflowDefinition | undefined,
  workflows: readonly WorkflowDefinition[],
  seen: Set<WorkflowDefinition>,
): WorkflowDefinition[] | undefined {
  if (from === undefined || seen.has(from)) {
    return undefined;
  }
  if (from === target) {
    return [from];
  }
  seen.add(from);
  for (const action of calledBy(from)) {
    const rest = pathTo(target, workflowOf(workflows, action.workflow), workflows, seen);
    if (rest !== undefined) {
      return [from, ...rest];
    }
  }
  return undefined;
}

function reportMissing(
  { workflow, workflowLocation }: WorkflowAction,
  workflows: readonly WorkflowDefinition[],
  problems: ProblemList,
): void {
  const ids = workflows.map(({ id }) => id);
  if (workflow === defaultWorkflowId) {
    problems.invalid(
      `a component calls the default workflow, but none of the ${ids.length} workflows is the default.`,
      workflowLocation,
      `Write workflow: with one of ${ids.join(", ")}.`,
    );
    return;
  }
  const near = nearestName(workflow, ids);
  problems.invalid(
    `a component calls the workflow "${workflow}", which does not exist.`,
    workflowLocation,
    near === undefined ? `There is ${ids.join(", ") || "none"}.` : `Did you mean "${near}"?`,
  );
}
