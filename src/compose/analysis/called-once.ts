import {
  callOf,
  type ComponentDefinition,
  type ComposeDefinition,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import { findWorkflow } from "../definition/find-workflow.ts";
import { JobGraph } from "./job-graph.ts";
import { modelKey } from "./model-key.ts";

/**
 * The components that a run of a workflow calls in one job only, which renders all of its calls before the first: what
 * they need of a model's context is known when the model is loaded.
 */
export function componentsCalledOnce(
  definition: ComposeDefinition,
  workflow: WorkflowDefinition,
): ReadonlySet<ComponentDefinition> {
  const counts = new Map<ComponentDefinition, number>();
  countCalls(definition, workflow, 1, counts);
  // Components of the same model share it.
  const perModel = new Map<string, number>();
  for (const [component, count] of counts) {
    if (component.type !== "model") {
      continue;
    }
    const key = modelKey(component);
    perModel.set(key, (perModel.get(key) ?? 0) + count);
  }
  const once = [...counts.keys()].filter(
    (component) => component.type === "model" && perModel.get(modelKey(component)) === 1,
  );
  return new Set(once);
}

function countCalls(
  definition: ComposeDefinition,
  workflow: WorkflowDefinition,
  times: number,
  counts: Map<ComponentDefinition, number>,
): void {
  const graph = new JobGraph(workflow.jobs);
  for (const job of workflow.jobs) {
    const call = callOf(job);
    if (call === undefined) {
      continue;
    }
    const isInLoop = graph.downstreamOf(job.id).has(job.id);
    const own = isInLoop ? 2 * times : times;
    counts.set(call.component, (counts.get(call.component) ?? 0) + own);
    if (call.kind !== "workflow") {
      continue;
    }
    const isRepeated = job.type === "for-each" || (job.type === "component" && job.repeatCount !== undefined);
    countCalls(
      definition,
      findWorkflow(definition, call.action.workflow),
      isRepeated ? 2 * own : own,
      counts,
    );
  }
}
