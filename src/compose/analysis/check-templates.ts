import { nearestName } from "../../base/nearest-name.ts";
import {
  allComponents,
  callOf,
  type ComponentDefinition,
  type ComposeDefinition,
  type ForEachJob,
  type JobDefinition,
  type ModelAction,
  type RoutingJob,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import { JobGraph } from "./job-graph.ts";
import type { Location, ProblemList } from "../source/problems.ts";
import type { ScalarNode, SourceNode } from "../source/source-tree.ts";
import type { Placeholder } from "../template/ast.ts";
import { placeholdersIn, unsupportedOperators } from "../source/node-templates.ts";
import { locatePlaceholder } from "../source/yaml-source.ts";

/** Sources by the place of a template, each with the names that may follow (undefined: any path). */
type Sources = ReadonlyMap<string, readonly string[] | undefined>;
type Check = (node: SourceNode | undefined, sources: Sources, where: string) => void;

/** Reports placeholders whose source does not exist where they stand: a slip must not render as nothing. */
export function checkTemplates(definition: ComposeDefinition, problems: ProblemList): void {
  const checked = new Set<SourceNode>();
  const check: Check = (node, sources, where) => {
    // A component that several jobs use, and an alias, is one piece of text.
    if (node === undefined || checked.has(node)) {
      return;
    }
    checked.add(node);
    checkNode(node, sources, where, problems);
  };
  for (const workflow of definition.workflows) {
    checkWorkflow(workflow, check);
  }
  const repeated = new Set(definition.workflows.flatMap(({ jobs }) => jobs.flatMap(repeatedAction)));
  for (const component of allComponents(definition)) {
    checkComponent(component, repeated, check);
  }
}

/** The action that a job calls several times; empty for a job that calls it once. */
function repeatedAction(job: JobDefinition): readonly unknown[] {
  const isRepeated = job.type === "for-each" || (job.type === "component" && job.repeatCount !== undefined);
  return isRepeated ? [callOf(job)?.action] : [];
}

function withNames(sources: Sources, ...names: readonly string[]): Sources {
  return new Map([...sources, ...names.map((name) => [name, undefined] as const)]);
}

function withIndex(sources: Sources): Sources {
  return new Map([...sources, ["index", []]]);
}

function checkWorkflow(workflow: WorkflowDefinition, check: Check): void {
  const graph = new JobGraph(workflow.jobs);
  const base: Sources = new Map([
    ["input", undefined],
    ["context", ["task_id", "session_id", "metadata"]],
  ]);
  for (const job of workflow.jobs) {
    const before = [...graph.upstreamOf(job.id)];
    const sources = before.length === 0 ? base : new Map([...base, ["jobs", before]]);
    checkJob(job, sources, check);
  }
  const jobs = ["jobs", workflow.jobs.map(({ id }) => id)] as const;
  check(workflow.output, new Map([...base, jobs]), "the output of a workflow");
}

function checkJob(job: JobDefinition, sources: Sources, check: Check): void {
  check(job.onError?.output, withNames(sources, "error"), "the output of on_error");
  switch (job.type) {
    case "component": {
      check(job.repeatCount, sources, "repeat_count");
      const perRun = job.repeatCount === undefined ? sources : withIndex(sources);
      check(job.input, perRun, "the input of a job");
      check(job.output, withNames(perRun, "output"), "the output of a job");
      return;
    }
    case "delay":
      check(job.duration, sources, "a duration");
      check(job.output, withNames(sources, "output"), "the output of a job");
      return;
    case "if":
    case "switch":
      checkRouting(job, sources, check);
      return;
    case "for-each":
      checkForEach(job, sources, check);
      return;
  }
}

function checkRouting(job: RoutingJob, sources: Sources, check: Check): void {
  check(job.input, sources, "the input of a job");
  const compared = job.type === "if" ? job.conditions : job.cases;
  for (const one of compared) {
    if ("input" in one) {
      check(one.input, sources, "the input of a condition");
    }
    check(one.value, sources, "a value to compare with");
  }
}

function checkForEach(job: ForEachJob, sources: Sources, check: Check): void {
  check(job.input, sources, "the input of a job");
  check(job.batchSize, sources, "batch_size");
  const perItem = withNames(withIndex(sources), "item");
  check(job.itemInput, perItem, "the input of do");
  check(job.itemOutput, withNames(perItem, "output"), "the output of do");
  check(job.output, withNames(sources, "output"), "the output of a job");
}

function checkComponent(component: ComponentDefinition, repeated: ReadonlySet<unknown>, check: Check): void {
  const base: Sources = new Map([
    ["input", undefined],
    ["context", ["run_id"]],
  ]);
  const inAction = "an action";
  const inOutput = "the output of an action";
  if (component.type === "http-client") {
    const anyRepeated = component.actions.some((action) => repeated.has(action));
    const sources = anyRepeated ? withIndex(base) : base;
    for (const node of [component.baseUrl, ...component.headers.values()]) {
      check(node, sources, "a component");
    }
  }
  for (const action of component.actions) {
    const sources = repeated.has(action) ? withIndex(base) : base;
    if ("kind" in action) {
      for (const node of [...inputsOf(action), ...action.parameters.values()]) {
        check(node, sources, inAction);
      }
      const given = action.kind === "chat" ? ["result", "result[]", "response"] : ["result", "result[]"];
      check(action.output, withNames(sources, ...given), inOutput);
    } else if ("target" in action) {
      const { target, headers, params, body } = action;
      const nodes = [target.node, ...headers.values(), ...params.values(), body];
      for (const node of nodes) {
        check(node, sources, inAction);
      }
      check(action.output, withNames(sources, "response", "response[]"), inOutput);
    } else {
      check(action.input, sources, inAction);
      check(action.output, withNames(sources, "output", "response"), inOutput);
    }
  }
}

/** What an action gives its model, besides parameters. */
function inputsOf(action: ModelAction): readonly (SourceNode | undefined)[] {
  if (action.kind === "prompt") {
    return [action.prompt];
  }
  const { messages, tools, toolChoice, parallelToolCalls, documents, chatTemplate } = action;
  const { templateVariables, reasoningTags, toolCallTags } = action;
  return [
    messages,
    tools,
    toolChoice,
    parallelToolCalls,
    documents,
    chatTemplate,
    templateVariables,
    reasoningTags,
    toolCallTags,
  ];
}

function checkNode(node: SourceNode, sources: Sources, where: string, problems: ProblemList): void {
  for (const { operator, location } of unsupportedOperators(node)) {
    problems.unsupported(
      `the operator "${operator}" is known in model-compose, but not supported here yet.`,
      location,
    );
  }
  for (const { placeholder, scalar } of placeholdersIn(node)) {
    checkPlaceholder(placeholder, scalar, sources, where, problems);
  }
}

function checkPlaceholder(
  placeholder: Placeholder,
  scalar: ScalarNode,
  sources: Sources,
  where: string,
  problems: ProblemList,
): void {
  const name = placeholder.chunk ? `${placeholder.name}[]` : placeholder.name;
  const location = locatePlaceholder(scalar, placeholder);
  if (!sources.has(name)) {
    const names = [...sources.keys()];
    const near = nearestName(name, names);
    problems.invalid(
      `unknown source "${name}" in ${where}.`,
      location,
      near === undefined ? unknownSourceRemedy(name, names) : `Did you mean ${near}?`,
    );
    return;
  }
  const names = sources.get(name);
  const [first] = placeholder.path;
  if (names === undefined || first === undefined) {
    return;
  }
  if (first.kind === "key" && names.includes(first.key)) {
    if (name === "jobs") {
      checkJobPath(placeholder, first.key, location, problems);
    }
    return;
  }
  if (name === "jobs" && first.kind === "key") {
    reportJob(first.key, names, where, location, problems);
    return;
  }
  const found = first.kind === "key" ? `"${first.key}"` : "an index";
  problems.invalid(
    `${name} has no ${found} in ${where}.`,
    location,
    names.length === 0
      ? `Write \${${name}}.`
      : `Known: ${names.map((known) => `${name}.${known}`).join(", ")}.`,
  );
}

function unknownSourceRemedy(name: string, names: readonly string[]): string {
  const here = `Sources here: ${names.join(", ")}.`;
  if (name === "index") {
    return `${here} index exists in jobs with repeat_count and in for-each.`;
  }
  if (name === "jobs") {
    return `${here} jobs exists in jobs that come after others: write depends_on: [ID].`;
  }
  return here;
}

/** `jobs.ID` is an object with one field. */
function checkJobPath(placeholder: Placeholder, id: string, location: Location, problems: ProblemList): void {
  const [, second] = placeholder.path;
  if (second === undefined || (second.kind === "key" && second.key === "output")) {
    return;
  }
  problems.invalid(`a job has only an output.`, location, `Write \${jobs.${id}.output}.`);
}

function reportJob(
  id: string,
  before: readonly string[],
  where: string,
  location: Location,
  problems: ProblemList,
): void {
  const near = nearestName(id, before);
  problems.invalid(
    `there is no job "${id}" before ${where}.`,
    location,
    near === undefined ? `Write depends_on: [${id}], if there is such a job.` : `Did you mean "${near}"?`,
  );
}
