import { callOf, type JobDefinition, type WorkflowDefinition } from "../definition/definition.ts";
import { isRouting, JobGraph } from "./job-graph.ts";
import { solePlaceholder, type SourceNode } from "../source/source-tree.ts";
import { placeholdersIn } from "../source/node-templates.ts";

/** True for an action's output that is made piece by piece, from `result[]` or `response[]`. */
export function mapsPieces(output: SourceNode, source: "result" | "response"): boolean {
  return [...placeholdersIn(output)].some(
    ({ placeholder }) => placeholder.chunk && placeholder.name === source,
  );
}

/**
 * True when what a job's component streams is, piece by piece, the output of the workflow. Else it is joined and
 * put where the templates of outputs say.
 */
export function passesPieces(workflow: WorkflowDefinition, job: JobDefinition): boolean {
  if (job.type !== "component") {
    return false;
  }
  const passesJob = job.output === undefined || passesOn(job.output, ["output"], []);
  return passesAction(job) && passesJob && givesOutput(workflow, job);
}

function passesAction(job: JobDefinition): boolean {
  const call = callOf(job);
  const output = call?.action.output;
  if (call === undefined || output === undefined) {
    return true;
  }
  if (call.kind === "workflow") {
    return passesOn(output, ["output", "response"], []);
  }
  const source = call.kind === "model" ? "result" : "response";
  return mapsPieces(output, source) || passesOn(output, [source], []);
}

/** Whether the job's output is all of the workflow's, and is made once. */
function givesOutput(workflow: WorkflowDefinition, job: JobDefinition): boolean {
  const graph = new JobGraph(workflow.jobs);
  if (graph.downstreamOf(job.id).has(job.id)) {
    return false;
  }
  if (workflow.output !== undefined) {
    return passesOn(workflow.output, ["jobs"], [job.id, "output"]);
  }
  const terminals = graph.terminals();
  if (!terminals.includes(job)) {
    return false;
  }
  // Several may be last when only one of them gives something: the branches of one signpost, or a job and the one
  // that takes its place when it fails.
  const routers = new Set(terminals.flatMap(({ id }) => graph.routersOf(id)));
  const [router] = routers;
  const areBranches =
    routers.size === 1 &&
    router !== undefined &&
    (isRouting(router) || terminals.includes(router)) &&
    terminals.every((one) => one === router || graph.routersOf(one.id).length > 0);
  return terminals.length === 1 || areBranches;
}

/** True for a template that is only `${source.path}`, with a type that leaves a text as it is. */
function passesOn(node: SourceNode, sources: readonly string[], path: readonly string[]): boolean {
  const placeholder = solePlaceholder(node);
  if (placeholder === undefined || !sources.includes(placeholder.name)) {
    return false;
  }
  if (placeholder.path.length !== path.length) {
    return false;
  }
  const { type } = placeholder;
  const keepsText = ["string", "text", "markdown", "any", "stream"];
  if (type !== undefined && (type.list || !keepsText.includes(type.name))) {
    return false;
  }
  return placeholder.path.every((segment, i) => segment.kind === "key" && segment.key === path[i]);
}
