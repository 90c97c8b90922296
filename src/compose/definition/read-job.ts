import type {
  Call,
  ComponentDefinition,
  ComponentJob,
  DelayJob,
  ForEachJob,
  JobBase,
  JobDefinition,
  JobReference,
  OnError,
  RetryPolicy,
} from "./definition.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { Location, ProblemList } from "../source/problems.ts";
import { readComponent } from "./read-component.ts";
import { pickDefault, readReference, readReferenceNode, reportMissing } from "./read-ids.ts";
import { readIf, readSwitch } from "./read-routing.ts";
import type { SourceNode } from "../source/source-tree.ts";

const jobTypes = ["component", "action", "delay", "if", "switch", "for-each"] as const;
const otherJobs = ["random-router", "filter", "accumulate", "pipeline", "fan-out", "loop"];

/** The keys of all jobs but `id`, `name` and `output`; the older dialect writes them directly into a workflow. */
export const jobKeys = [
  "type",
  "component",
  "action",
  "input",
  "repeat_count",
  "depends_on",
  "retry",
  "on_error",
  "max_run_count",
  "mode",
  "duration",
  "conditions",
  "operator",
  "value",
  "if_true",
  "if_false",
  "otherwise",
  "cases",
  "do",
  "batch_size",
  "streaming",
  "interrupt",
  "hook",
];

/** What the jobs of a file are read with. */
export interface JobContext {
  readonly components: readonly ComponentDefinition[];
  /** Whether some component could not be read: one that is not in the list need not be missing. */
  readonly lacksComponents: boolean;
  readonly problems: ProblemList;
}

/** Reads a job of any type. */
export function readJob(reader: MappingReader, id: string, context: JobContext): JobDefinition | undefined {
  const type = readType(reader);
  reader.refuse("interrupt", "hook");
  const base: JobBase = {
    id,
    name: reader.freeText("name"),
    dependsOn: readDependencies(reader),
    maxRunCount: reader.integer("max_run_count", 1) ?? 25,
    retry: readRetry(reader),
    onError: readOnError(reader),
    location: reader.firstLine(),
  };
  switch (type) {
    case "component":
    case "action":
      return readComponentJob(reader, base, context);
    case "delay":
      return readDelay(reader, base);
    case "if":
      return readIf(reader, base, context.problems);
    case "switch":
      return readSwitch(reader, base, context.problems);
    case "for-each":
      return readForEach(reader, base, context);
    case undefined:
      reader.withoutEffect(...reader.node.entries.keys());
      return undefined;
  }
}

function readType(reader: MappingReader): (typeof jobTypes)[number] | undefined {
  return reader.take("type") === undefined ? "component" : reader.choice("type", jobTypes, otherJobs);
}

function readComponentJob(
  reader: MappingReader,
  base: JobBase,
  context: JobContext,
): ComponentJob | undefined {
  const input = reader.take("input")?.value;
  const output = reader.take("output")?.value;
  const repeatCount = countTemplate(reader, "repeat_count");
  const call = readCall(reader, context);
  return call === undefined ? undefined : { ...base, type: "component", call, input, output, repeatCount };
}

function readDelay(reader: MappingReader, base: JobBase): DelayJob | undefined {
  reader.choice("mode", ["time-interval"], ["specific-time"]);
  reader.refuse("time", "timezone");
  const output = reader.take("output")?.value;
  const entry = reader.take("duration");
  if (entry === undefined) {
    reader.missing("duration", "Add duration: 5s.");
    return undefined;
  }
  const isTemplate = entry.value.kind === "scalar" && entry.value.template !== undefined;
  if (!isTemplate) {
    reader.duration("duration");
  }
  return { ...base, type: "delay", duration: entry.value, output };
}

function readForEach(reader: MappingReader, base: JobBase, context: JobContext): ForEachJob | undefined {
  const input = reader.take("input")?.value;
  const batchSize = countTemplate(reader, "batch_size");
  const output = reader.take("output")?.value;
  if (reader.flag("streaming") === true) {
    reader.refuse("streaming");
  }
  if (input === undefined) {
    reader.missing("input", "Add input: ${input.items}, the list to go through.");
  }
  const inline = reader.mapping("do", `do of ${reader.where}`);
  if (inline === undefined) {
    if (!reader.has("do")) {
      reader.missing("do", "Add do: with the component to run for every item.");
    }
    return undefined;
  }
  inline.choice("type", ["component", "action"], ["for-each", ...otherJobs]);
  inline.refuse("interrupt", "hook", "retry", "on_error", "repeat_count", "depends_on");
  const itemInput = inline.take("input")?.value;
  const itemOutput = inline.take("output")?.value;
  const call = readCall(inline, context);
  inline.finish();
  if (call === undefined || input === undefined) {
    return undefined;
  }
  return { ...base, type: "for-each", input, batchSize, call, itemInput, itemOutput, output };
}

/** Reads a count that may be a template; a literal is checked at load. */
function countTemplate(reader: MappingReader, key: string): SourceNode | undefined {
  const entry = reader.take(key);
  if (entry === undefined) {
    return undefined;
  }
  const isTemplate = entry.value.kind === "scalar" && entry.value.template !== undefined;
  if (!isTemplate) {
    reader.integer(key, 1);
  }
  return entry.value;
}

/** Reads `depends_on: [a, [b, c]]`, which means a, and one of b and c. */
function readDependencies(reader: MappingReader): (readonly JobReference[])[] {
  const entry = reader.take("depends_on");
  if (entry === undefined) {
    return [];
  }
  if (entry.value.kind !== "list") {
    const isNone = (_value: unknown): _value is never => false;
    reader.literal("depends_on", "a list of job ids, as in [first, second]", isNone);
    return [];
  }
  const reference = (node: SourceNode): JobReference[] => {
    const read = readReferenceNode(reader, "depends_on", node);
    return read === undefined ? [] : [read];
  };
  return entry.value.items.map((item) =>
    item.kind === "list" ? item.items.flatMap(reference) : reference(item),
  );
}

function readRetry(reader: MappingReader): RetryPolicy | undefined {
  const entry = reader.take("retry");
  if (entry === undefined) {
    return undefined;
  }
  if (entry.value.kind !== "mapping") {
    const count = reader.integer("retry", 1);
    return count === undefined ? undefined : { maxAttemptCount: count, delay: 0, backoff: "fixed" };
  }
  const retry = reader.mappingOf("retry", entry.value, `retry of ${reader.where}`);
  if (retry === undefined) {
    return undefined;
  }
  const policy: RetryPolicy = {
    maxAttemptCount: retry.integer("max_attempt_count", 1) ?? 1,
    delay: retry.duration("delay") ?? 0,
    backoff: retry.choice("backoff", ["fixed", "exponential"]) ?? "fixed",
    maxDelay: retry.duration("max_delay"),
  };
  retry.finish();
  return policy;
}

function readOnError(reader: MappingReader): OnError | undefined {
  const entry = reader.take("on_error");
  if (entry === undefined) {
    return undefined;
  }
  if (entry.value.kind !== "mapping") {
    return reader.choice("on_error", ["ignore"]) === undefined ? undefined : {};
  }
  const onError = reader.mappingOf("on_error", entry.value, `on_error of ${reader.where}`);
  if (onError === undefined) {
    return undefined;
  }
  const read: OnError = { to: readReference(onError, "to"), output: onError.take("output")?.value };
  onError.finish();
  return read;
}

/** Reads the component and the action that a job names, or the default ones. */
function readCall(reader: MappingReader, context: JobContext): Call | undefined {
  const component = jobComponent(reader, context);
  const entry = reader.take("action");
  if (component === undefined) {
    return undefined;
  }
  const { problems } = context;
  if (entry === undefined) {
    return actionCall(component, reader.where, reader.firstLine(), problems);
  }
  const id = reader.literalOf("action", entry.value, "the id of an action", isText);
  if (id === undefined) {
    return undefined;
  }
  const call = callsOf(component).find(({ action }) => action.id === id);
  if (call === undefined) {
    const what = `${reader.where} names the action "${id}"`;
    reportMissing(what, id, component.actions, entry.value.location, problems);
  }
  return call;
}

function jobComponent(reader: MappingReader, context: JobContext): ComponentDefinition | undefined {
  const { components, problems } = context;
  const entry = reader.take("component");
  if (entry === undefined) {
    return defaultComponent(context, reader.where, reader.firstLine());
  }
  if (entry.value.kind === "mapping") {
    const inline = reader.mappingOf("component", entry.value, `component of ${reader.where}`);
    return inline === undefined ? undefined : readComponent(inline, problems);
  }
  const id = reader.literalOf("component", entry.value, "the id of a component, or a mapping", isText);
  const found = components.find((component) => component.id === id);
  if (id === undefined || found !== undefined) {
    return found;
  }
  const what = `${reader.where} names the component "${id}"`;
  if (!context.lacksComponents) {
    reportMissing(what, id, components, entry.value.location, problems);
  }
  return undefined;
}

/** The call of the default action of the default component. */
export function defaultCall(context: JobContext, where: string, location: Location): Call | undefined {
  const component = defaultComponent(context, where, location);
  return component && actionCall(component, where, location, context.problems);
}

function defaultComponent(
  { components, lacksComponents, problems }: JobContext,
  where: string,
  location: Location,
): ComponentDefinition | undefined {
  // A component that could not be read has been reported already.
  if (lacksComponents) {
    return undefined;
  }
  return pickDefault(components, "component", where, location, problems);
}

function actionCall(
  component: ComponentDefinition,
  where: string,
  location: Location,
  problems: ProblemList,
): Call | undefined {
  const action = pickDefault<{ id: string; default: boolean }>(
    component.actions,
    "action",
    where,
    location,
    problems,
  );
  return callsOf(component).find((call) => call.action === action);
}

function callsOf(component: ComponentDefinition): readonly Call[] {
  switch (component.type) {
    case "model":
      return component.actions.map((action) => ({ kind: "model", component, action }));
    case "http-client":
      return component.actions.map((action) => ({ kind: "http-client", component, action }));
    case "workflow":
      return component.actions.map((action) => ({ kind: "workflow", component, action }));
  }
}
