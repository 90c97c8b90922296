import { nearestName } from "../../base/nearest-name.ts";
import {
  callOf,
  type ComposeDefinition,
  type JobDefinition,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import type { SourceNode } from "../source/source-tree.ts";
import { placeholdersIn } from "../source/node-templates.ts";
import { findWorkflow } from "../definition/find-workflow.ts";
import { allNeeds } from "./input-needs.ts";
import type { PathSegment } from "../template/ast.ts";

/** An input that a workflow does not read. */
export interface UnknownInput {
  readonly field: string;
  readonly message: string;
  readonly remedy: string;
}

/**
 * The first key of an input that no placeholder of the workflow reads; undefined: there is none, the input is no mapping,
 * or something reads the input as a whole, so that any key may mean something.
 */
export function findUnknownInput(
  definition: ComposeDefinition,
  workflow: WorkflowDefinition,
  input: unknown,
): UnknownInput | undefined {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return undefined;
  }
  const given = Object.keys(input);
  const names = given.length === 0 ? undefined : acceptedInputs(definition, workflow);
  const field = names && given.find((name) => !names.has(name));
  if (names === undefined || names.size === 0 || field === undefined) {
    return undefined;
  }
  const open = [...names].filter((name) => !given.includes(name));
  const near = nearestName(field, open);
  return {
    field,
    message: `The workflow "${workflow.id}" has no input "${field}".`,
    remedy: near === undefined ? `It takes ${[...names].join(", ")}.` : `Did you mean "${near}"?`,
  };
}

/** The keys of its input that a workflow reads; undefined: it reads all of it somewhere. */
export function acceptedInputs(
  definition: ComposeDefinition,
  workflow: WorkflowDefinition,
): ReadonlySet<string> | undefined {
  if (workflow.jobs.some(readsWhole)) {
    return undefined;
  }
  const paths = [
    ...allNeeds(definition, workflow).map(({ path }) => path),
    ...outputsOf(definition, workflow).flatMap(pathsIn),
  ];
  const names = new Set<string>();
  for (const [first] of paths) {
    if (first?.kind !== "key") {
      return undefined;
    }
    names.add(first.key);
  }
  return names;
}

/** Whether a job goes by the whole of what it is given, though no placeholder says so. */
function readsWhole(job: JobDefinition): boolean {
  switch (job.type) {
    case "switch":
      return job.input === undefined;
    case "if":
      return job.input === undefined && job.conditions.some(({ input }) => input === undefined);
    case "delay":
      return job.output === undefined;
    case "component":
    case "for-each":
      return false;
  }
}

/** The outputs on a workflow's way, which read the input like anything else. */
function outputsOf(definition: ComposeDefinition, workflow: WorkflowDefinition): SourceNode[] {
  const calls = workflow.jobs.map(callOf).filter((call) => call !== undefined);
  const outputs = [workflow.output, ...calls.map(({ action }) => action.output)];
  return [
    ...outputs.filter((node) => node !== undefined),
    ...calls.flatMap((call) =>
      call.kind === "workflow" ? outputsOf(definition, findWorkflow(definition, call.action.workflow)) : [],
    ),
  ];
}

function pathsIn(node: SourceNode): (readonly PathSegment[])[] {
  return [...placeholdersIn(node)]
    .map(({ placeholder }) => placeholder)
    .filter(({ name }) => name === "input")
    .map(({ path }) => path);
}
