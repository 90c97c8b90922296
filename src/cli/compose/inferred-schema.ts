import type { JobDefinition, WorkflowDefinition } from "./definition.ts";
import type { SourceNode } from "./source-tree.ts";
import { solePlaceholder } from "./source-tree.ts";
import { placeholdersOf, type Annotation, type PathSegment, type Placeholder } from "./template/ast.ts";
import { defaultValue } from "./template/evaluate.ts";
import { placeholdersIn } from "./value-template.ts";

/** A value that a workflow takes or gives, as far as its templates tell. */
export interface Variable {
  /** Absent: the whole input or output. */
  readonly name?: string;
  /** A type of the template language; "string" where the template names none. */
  readonly type: string;
  readonly isList: boolean;
  readonly subtype?: string;
  readonly format?: string;
  /** The options of a select. */
  readonly options?: readonly string[];
  readonly default?: unknown;
  /** A run without it is an error. */
  readonly required: boolean;
  readonly annotations: readonly Annotation[];
}

export interface WorkflowSchema {
  readonly input: readonly Variable[];
  readonly output: readonly Variable[];
}

/** Infers what a workflow takes and gives from its placeholders: first mention first, first mention wins. */
export function inferSchema(workflow: WorkflowDefinition): WorkflowSchema {
  return { input: inferInput(workflow), output: inferOutput(workflow) };
}

function inferInput(workflow: WorkflowDefinition): Variable[] {
  const found = new Map<string | undefined, Variable>();
  for (const job of workflow.jobs) {
    const required = requiredPlaceholders(job);
    for (const node of inputTemplates(job)) {
      for (const { placeholder } of placeholdersIn(node)) {
        if (placeholder.name !== "input") continue;
        const variable = variableOf(placeholder, inputName(placeholder.path), required.has(placeholder));
        // A bare ${input} says nothing beside fields that have names.
        if (variable.name === undefined && found.size > 0) continue;
        if (!found.has(variable.name)) found.set(variable.name, variable);
      }
    }
  }
  return [...found.values()];
}

/** The templates that see the workflow's input. */
function inputTemplates(job: JobDefinition): SourceNode[] {
  const { prompt, parameters } = job.action;
  const nodes = passesInputOn(job) ? [prompt, ...parameters.values()] : [job.input];
  return [...nodes, job.repeatCount, job.output].filter((node) => node !== undefined);
}

/** True when the action sees the workflow's input itself. */
export function passesInputOn(job: JobDefinition): boolean {
  if (job.input === undefined) return true;
  const sole = solePlaceholder(job.input);
  return (
    sole?.name === "input" && sole.path.length === 0 && sole.default === undefined && sole.type === undefined
  );
}

/** Placeholders that are a whole prompt and have no default: without them there is nothing to generate from. */
function requiredPlaceholders(job: JobDefinition): Set<Placeholder> {
  const prompts = job.action.prompt.kind === "list" ? job.action.prompt.items : [job.action.prompt];
  const required = new Set<Placeholder>();
  for (const prompt of prompts) {
    const placeholder = solePlaceholder(prompt);
    if (placeholder === undefined || placeholder.default !== undefined) continue;
    const source = passesInputOn(job) ? placeholder : throughJobInput(job, placeholder);
    if (source !== undefined && source.default === undefined) required.add(source);
  }
  return required;
}

/** The placeholder of the job's input mapping that an action's `${input.key…}` stands for. */
export function throughJobInput(job: JobDefinition, placeholder: Placeholder): Placeholder | undefined {
  const [first] = placeholder.path;
  if (job.input?.kind !== "mapping" || first?.kind !== "key") return undefined;
  const entry = job.input.entries.get(first.key);
  return entry === undefined ? undefined : solePlaceholder(entry.value);
}

/** `user.name`, `list[0].x`; a path is named as far as it is fixed. */
function inputName(path: readonly PathSegment[]): string | undefined {
  const names: string[] = [];
  for (const segment of path) {
    if (segment.kind === "key") names.push(names.length === 0 ? segment.key : `.${segment.key}`);
    else if (segment.kind === "index") names.push(`[${segment.index}]`);
    else break;
  }
  return names.length === 0 ? undefined : names.join("");
}

function variableOf(placeholder: Placeholder, name: string | undefined, required: boolean): Variable {
  const { type, annotations } = placeholder;
  const isSelect = type?.name === "select";
  const takesList = placeholder.path.some(({ kind }) => kind !== "key" && kind !== "index");
  return {
    name,
    type: type?.name ?? "string",
    isList: takesList || (type?.list ?? false),
    subtype: isSelect || !type?.arguments.length ? undefined : type.arguments.join(","),
    format: type?.format,
    options: isSelect ? type.arguments : undefined,
    default: literalDefault(placeholder),
    required,
    annotations,
  };
}

/** A default that does not depend on the input. */
function literalDefault(placeholder: Placeholder): unknown {
  const fallback = placeholder.default;
  if (fallback === undefined || !placeholdersOf(fallback.template).next().done) return undefined;
  return defaultValue(fallback, placeholder.type, { sources: new Map() });
}

function inferOutput(workflow: WorkflowDefinition): Variable[] {
  const [job] = workflow.jobs;
  const node = workflow.output ?? job?.output ?? job?.action.output;
  if (node === undefined) return [{ type: "any", isList: false, required: false, annotations: [] }];
  return [...outputVariables(node, undefined)];
}

function* outputVariables(node: SourceNode, name: string | undefined): Generator<Variable> {
  if (node.kind === "mapping") {
    for (const [key, entry] of node.entries) {
      yield* outputVariables(entry.value, name === undefined ? key : `${name}.${key}`);
    }
  } else if (node.kind === "list") {
    for (const [i, item] of node.items.entries()) yield* outputVariables(item, `${name ?? ""}[${i}]`);
  } else {
    const placeholder = solePlaceholder(node);
    if (placeholder !== undefined) yield variableOf(placeholder, name, false);
    else if (node.template !== undefined) {
      yield { name, type: "string", isList: false, required: false, annotations: [] };
    }
  }
}
