import {
  callOf,
  type ComposeDefinition,
  type JobDefinition,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import { findWorkflow } from "../definition/find-workflow.ts";
import { workflowNeeds } from "./input-needs.ts";
import { JobGraph } from "./job-graph.ts";
import { literalValue, solePlaceholder, type SourceNode } from "../source/source-tree.ts";
import { variableOf, type Variable } from "./variable.ts";

export type { Variable } from "./variable.ts";

/** What a workflow takes and gives: what the HTTP API publishes and the web UI makes its form of. */
export interface WorkflowSchema {
  readonly input: readonly Variable[];
  readonly output: readonly Variable[];
}

/** Infers what a workflow takes and gives from its placeholders: first mention first. */
export function inferSchema(definition: ComposeDefinition, workflow: WorkflowDefinition): WorkflowSchema {
  const input = workflowNeeds(definition, workflow).map(({ variable }) => variable);
  return { input, output: unique(workflowOutput(definition, workflow)) };
}

const anything: Variable = { type: "any", isList: false, required: false, annotations: [] };

function workflowOutput(definition: ComposeDefinition, workflow: WorkflowDefinition): Variable[] {
  if (workflow.output !== undefined) {
    return [...outputVariables(workflow.output, undefined)];
  }
  const graph = new JobGraph(workflow.jobs);
  return graph.terminals().flatMap((job) => jobOutput(definition, job));
}

function jobOutput(definition: ComposeDefinition, job: JobDefinition): Variable[] {
  switch (job.type) {
    case "component": {
      const isList = job.repeatCount !== undefined && Number(literalValue(job.repeatCount)?.value) > 1;
      const variables = outputOf(definition, job, job.output);
      return isList ? variables.map(asList) : variables;
    }
    case "for-each": {
      if (job.output !== undefined) {
        return [...outputVariables(job.output, undefined)];
      }
      return outputOf(definition, job, job.itemOutput).map(asList);
    }
    case "delay":
      return job.output === undefined ? [] : [...outputVariables(job.output, undefined)];
    case "if":
    case "switch":
      return [];
  }
}

/** What a call gives through the job's mapping, else the action's, else by itself. */
function outputOf(
  definition: ComposeDefinition,
  job: JobDefinition,
  mapping: SourceNode | undefined,
): Variable[] {
  const call = callOf(job);
  const node = mapping ?? call?.action.output;
  if (node !== undefined) {
    return [...outputVariables(node, undefined)];
  }
  if (call?.kind !== "workflow") {
    return [anything];
  }
  return workflowOutput(definition, findWorkflow(definition, call.action.workflow));
}

function asList(variable: Variable): Variable {
  return { ...variable, isList: true };
}

function* outputVariables(node: SourceNode, name: string | undefined): Generator<Variable> {
  if (node.kind === "mapping") {
    for (const [key, entry] of node.entries) {
      yield* outputVariables(entry.value, name === undefined ? key : `${name}.${key}`);
    }
  } else if (node.kind === "list") {
    for (const [i, item] of node.items.entries()) {
      yield* outputVariables(item, `${name ?? ""}[${i}]`);
    }
  } else {
    const placeholder = solePlaceholder(node);
    if (placeholder !== undefined) {
      yield variableOf(placeholder, name, {});
    } else if (node.template !== undefined) {
      yield { name, type: "string", isList: false, required: false, annotations: [] };
    }
  }
}

/** The branches of a workflow often give fields of the same names. */
function unique(variables: readonly Variable[]): Variable[] {
  const found = new Map<string | undefined, Variable>();
  for (const variable of variables) {
    if (!found.has(variable.name)) {
      found.set(variable.name, variable);
    }
  }
  return found.size === 0 ? [anything] : [...found.values()];
}
