import {
  anonymousIds,
  defaultWorkflowId,
  type ComponentDefinition,
  type JobDefinition,
  type TextGenerationAction,
  type WorkflowDefinition,
} from "./definition.ts";
import { nearestName } from "../../runtime/nearest-name.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { Location, ProblemList } from "./problems.ts";
import { readComponent, readId } from "./read-component.ts";
import type { SourceNode } from "./source-tree.ts";
import { parseTemplate } from "./template/parse.ts";

const otherJobs = ["delay", "if", "switch", "random-router", "filter", "for-each"];

/** A job's keys, which the older dialect writes directly into the workflow. */
const inlineJobKeys = ["type", "component", "action", "input", "repeat_count", "depends_on"];

/** Reads a workflow whose one job stands in `job`, in `jobs`, directly in it, or is implied. */
export function readWorkflow(
  reader: MappingReader,
  components: readonly ComponentDefinition[],
  problems: ProblemList,
): WorkflowDefinition | undefined {
  const id = readId(reader, anonymousIds.workflow);
  if (id === defaultWorkflowId) {
    problems.invalid(
      `${reader.where}: the id ${defaultWorkflowId} means the default workflow and cannot be given.`,
      reader.take("id")?.value.location,
      "Give another id, or write default: true.",
    );
  }
  const name = reader.freeText("name");
  const title = reader.freeText("title");
  const description = reader.freeText("description");
  const isDefault = reader.flag("default") ?? false;
  const isPrivate = reader.flag("private") ?? false;

  const written = reader.oneOrMany("job", "jobs").filter(({ node }) => !isEmptyMapping(node));
  const inline = inlineJobKeys.filter((key) => reader.has(key));
  const context: JobContext = { components, problems };
  let jobs: (JobDefinition | undefined)[];
  let output: SourceNode | undefined;
  if (written.length > 0) {
    output = reader.take("output")?.value;
    for (const key of inline) {
      const entry = reader.take(key);
      if (entry === undefined) continue;
      problems.invalid(`${reader.where} has "${key}" beside its job.`, entry.key, "Move it into the job.");
    }
    const [, second] = written;
    if (second !== undefined) {
      problems.unsupported(
        `${reader.where} has ${written.length} jobs; workflows of several jobs are not supported here yet.`,
        second.node.location,
        "Keep one job a workflow.",
      );
    }
    jobs = written.slice(0, 1).map(({ key, node }) => {
      const job = reader.mappingOf(key, node, `job of ${reader.where}`);
      const read = job === undefined ? undefined : readJob(job, readId(job, anonymousIds.job), context);
      job?.finish();
      return read;
    });
  } else if (inline.length > 0 || reader.has("output")) {
    jobs = [readJob(reader, anonymousIds.job, context)];
  } else {
    // Known here, so that a slip in one of them is named.
    reader.withoutEffect(...inlineJobKeys, "output");
    jobs = [implicitJob(context, reader.where, reader.firstLine())];
  }
  reader.finish();
  if (!jobs.every((job) => job !== undefined)) return undefined;
  const location = reader.firstLine();
  return { id, name, title, description, default: isDefault, private: isPrivate, jobs, output, location };
}

/** A file without workflows has this one. */
export function implicitWorkflow(
  components: readonly ComponentDefinition[],
  location: Location,
  problems: ProblemList,
): WorkflowDefinition | undefined {
  const job = implicitJob({ components, problems }, "the implicit workflow", location);
  if (job === undefined) return undefined;
  return { id: anonymousIds.workflow, default: false, private: false, jobs: [job] };
}

interface JobContext {
  readonly components: readonly ComponentDefinition[];
  readonly problems: ProblemList;
}

/** Passes the input through and returns {"generated": …}. */
function implicitJob(context: JobContext, where: string, location: Location): JobDefinition | undefined {
  const component = defaultComponent(context, where, location);
  const action = component && defaultAction(component, where, location, context.problems);
  if (component === undefined || action === undefined) return undefined;
  const text = "${output}";
  const generated: SourceNode = {
    kind: "scalar",
    value: text,
    template: parseTemplate(text),
    plain: true,
    location,
  };
  const output: SourceNode = {
    kind: "mapping",
    entries: new Map([["generated", { key: location, value: generated }]]),
    location,
  };
  return { id: anonymousIds.job, component, action, output };
}

function readJob(reader: MappingReader, id: string, context: JobContext): JobDefinition | undefined {
  const { problems } = context;
  const name = reader.freeText("name");
  reader.choice("type", ["component", "action"], otherJobs);
  reader.refuse("interrupt", "hook", "retry", "on_error", "max_run_count");
  const input = reader.take("input")?.value;
  const output = reader.take("output")?.value;
  const repeatCount = reader.take("repeat_count")?.value;
  if (repeatCount !== undefined) checkRepeatCount(reader, repeatCount);
  checkDependencies(reader, problems);
  const component = jobComponent(reader, context);
  const action = component === undefined ? undefined : jobAction(reader, component, problems);
  if (component === undefined || action === undefined) {
    reader.take("action");
    return undefined;
  }
  return { id, name, component, action, input, output, repeatCount };
}

function checkRepeatCount(reader: MappingReader, node: SourceNode): void {
  if (node.kind === "scalar" && node.template !== undefined) return;
  reader.literalOf(
    "repeat_count",
    node,
    "an integer >= 1",
    (value): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 1,
  );
}

function checkDependencies(reader: MappingReader, problems: ProblemList): void {
  const entry = reader.take("depends_on");
  if (entry === undefined) return;
  const ids = reader.literalOf(
    "depends_on",
    entry.value,
    "a list of job ids",
    (value): value is string[] => Array.isArray(value) && value.every(isText),
  );
  for (const id of ids ?? []) {
    problems.invalid(
      `${reader.where} depends on the job "${id}", which does not exist.`,
      entry.value.location,
    );
  }
}

function jobComponent(reader: MappingReader, context: JobContext): ComponentDefinition | undefined {
  const { components, problems } = context;
  const entry = reader.take("component");
  if (entry === undefined) return defaultComponent(context, reader.where, reader.firstLine());
  if (entry.value.kind === "mapping") {
    const inline = reader.mappingOf("component", entry.value, `component of ${reader.where}`);
    return inline === undefined ? undefined : readComponent(inline, problems);
  }
  const id = reader.literalOf("component", entry.value, "the id of a component, or a mapping", isText);
  const found = components.find((component) => component.id === id);
  if (id === undefined || found !== undefined) return found;
  reportMissing(
    `${reader.where} names the component "${id}"`,
    id,
    components,
    entry.value.location,
    problems,
  );
  return undefined;
}

function jobAction(
  reader: MappingReader,
  component: ComponentDefinition,
  problems: ProblemList,
): TextGenerationAction | undefined {
  const entry = reader.take("action");
  if (entry === undefined) return defaultAction(component, reader.where, reader.firstLine(), problems);
  const id = reader.literalOf("action", entry.value, "the id of an action", isText);
  const found = component.actions.find((action) => action.id === id);
  if (id === undefined || found !== undefined) return found;
  reportMissing(
    `${reader.where} names the action "${id}"`,
    id,
    component.actions,
    entry.value.location,
    problems,
  );
  return undefined;
}

function defaultComponent(
  { components, problems }: JobContext,
  where: string,
  location: Location,
): ComponentDefinition | undefined {
  // A component that could not be read has been reported already.
  if (components.length === 0 && problems.problems.length > 0) return undefined;
  return pickDefault(components, "component", where, location, problems);
}

function defaultAction(
  component: ComponentDefinition,
  where: string,
  location: Location,
  problems: ProblemList,
): TextGenerationAction | undefined {
  return pickDefault(component.actions, "action", where, location, problems);
}

/** The only one, or the one with `default: true`. */
function pickDefault<T extends { readonly id: string; readonly default: boolean }>(
  things: readonly T[],
  kind: string,
  where: string,
  location: Location,
  problems: ProblemList,
): T | undefined {
  const [only] = things;
  if (things.length === 1) return only;
  const defaults = things.filter((thing) => thing.default);
  if (defaults.length === 1) return defaults[0];
  const found = `${things.length} ${kind}s, ${defaults.length} of them with default: true`;
  problems.invalid(
    `${where} does not say which ${kind} it runs, and there are ${found}.`,
    location,
    things.length === 0
      ? `Add a ${kind}.`
      : `Write ${kind}: ID, one of ${things.map(({ id }) => id).join(", ")}.`,
  );
  return undefined;
}

function reportMissing(
  what: string,
  id: string,
  things: readonly { readonly id: string }[],
  location: Location,
  problems: ProblemList,
): void {
  const ids = things.map((thing) => thing.id);
  const near = nearestName(id, ids);
  problems.invalid(
    `${what}, which does not exist.`,
    location,
    near === undefined ? `There is ${ids.join(", ") || "none"}.` : `Did you mean "${near}"?`,
  );
}

function isEmptyMapping(node: SourceNode): boolean {
  return node.kind === "mapping" && node.entries.size === 0;
}
