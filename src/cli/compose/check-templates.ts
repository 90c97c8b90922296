import { nearestName } from "../../runtime/nearest-name.ts";
import {
  allComponents,
  type ComposeDefinition,
  type JobDefinition,
  type WorkflowDefinition,
} from "./definition.ts";
import type { ProblemList } from "./problems.ts";
import type { ScalarNode, SourceNode } from "./source-tree.ts";
import type { Placeholder } from "./template/ast.ts";
import { placeholdersIn, unsupportedOperators } from "./value-template.ts";
import { locatePlaceholder } from "./yaml-source.ts";

/** Sources by the place of a template, each with the names that may follow (undefined: any path). */
type Sources = ReadonlyMap<string, readonly string[] | undefined>;

const jobContext = ["task_id", "session_id", "metadata"];
const actionContext = ["run_id"];

/** Reports placeholders whose source does not exist where they stand: a slip must not render as nothing. */
export function checkTemplates(definition: ComposeDefinition, problems: ProblemList): void {
  const checked = new Set<SourceNode>();
  const check = (node: SourceNode | undefined, sources: Sources, where: string): void => {
    // An action that several jobs use is one piece of text.
    if (node === undefined || checked.has(node)) return;
    checked.add(node);
    checkNode(node, sources, where, problems);
  };
  for (const workflow of definition.workflows) checkWorkflow(workflow, check);
  const repeats = definition.workflows.some(({ jobs }) => jobs.some((job) => job.repeatCount !== undefined));
  for (const action of allComponents(definition).flatMap((component) => component.actions)) {
    const sources = new Map<string, readonly string[] | undefined>([
      ["input", undefined],
      ["context", actionContext],
    ]);
    if (repeats) sources.set("index", []);
    check(action.prompt, sources, "an action");
    for (const node of action.parameters.values()) check(node, sources, "an action");
    const results = [
      ["result", undefined],
      ["result[]", undefined],
    ] as const;
    check(action.output, new Map([...sources, ...results]), "the output of an action");
  }
}

type Check = (node: SourceNode | undefined, sources: Sources, where: string) => void;

function checkWorkflow(workflow: WorkflowDefinition, check: Check): void {
  const base = [
    ["input", undefined],
    ["context", jobContext],
  ] as const;
  for (const job of workflow.jobs) checkJob(job, new Map(base), check);
  const jobs = ["jobs", workflow.jobs.map(({ id }) => id)] as const;
  check(workflow.output, new Map([...base, jobs]), "the output of a workflow");
}

function checkJob(job: JobDefinition, base: Sources, check: Check): void {
  check(job.repeatCount, base, "repeat_count");
  const perRun: Sources = job.repeatCount === undefined ? base : new Map([...base, ["index", []]]);
  check(job.input, perRun, "the input of a job");
  check(job.output, new Map([...perRun, ["output", undefined]]), "the output of a job");
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
  if (names === undefined || first === undefined) return;
  if (first.kind === "key" && names.includes(first.key)) return;
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
  return name === "index" ? `${here} index exists in jobs with repeat_count.` : here;
}
