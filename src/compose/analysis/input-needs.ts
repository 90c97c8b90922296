import {
  type Call,
  type ChatCompletionAction,
  type ComposeDefinition,
  type JobDefinition,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import { findWorkflow } from "../definition/find-workflow.ts";
import { JobGraph } from "./job-graph.ts";
import { parameterType } from "../definition/parameters.ts";
import { solePlaceholder, type SourceNode } from "../source/source-tree.ts";
import type { PathSegment, Placeholder } from "../template/ast.ts";
import { placeholdersIn, spreadTemplate } from "../source/node-templates.ts";
import { variableOf, type Hint, type Variable } from "./variable.ts";

/** A part of an input that is used. */
export interface Need {
  readonly variable: Variable;
  readonly path: readonly PathSegment[];
  /** Whether something tells its type: `as`, or the place where it is used. */
  readonly isTyped: boolean;
  /** Whether each of its placeholders has a default, so that it may be missing. */
  readonly hasDefault: boolean;
}

/** What a workflow uses of its input, in order of appearance; each name once, with all that is known of it. */
export function workflowNeeds(definition: ComposeDefinition, workflow: WorkflowDefinition): readonly Need[] {
  const found = new Map<string | undefined, Need>();
  for (const need of allNeeds(definition, workflow)) {
    const { name } = need.variable;
    const known = found.get(name);
    if (known !== undefined) {
      found.set(name, mergeNeeds(known, need));
    }
    // A bare ${input} says nothing beside fields that have names.
    else if (name !== undefined || found.size === 0) {
      found.set(name, need);
    }
  }
  if (found.size > 1) {
    found.delete(undefined);
  }
  return [...found.values()];
}

/** Every place of a workflow at which its input is used. */
export function allNeeds(definition: ComposeDefinition, workflow: WorkflowDefinition): readonly Need[] {
  const graph = new JobGraph(workflow.jobs);
  return workflow.jobs.flatMap((job) => {
    const before = [job.id, ...graph.upstreamOf(job.id)];
    const isConditional = before.some((id) => graph.routersOf(id).length > 0);
    const needs = jobNeeds(definition, job);
    return isConditional
      ? needs.map((need) => ({ ...need, variable: { ...need.variable, required: false } }))
      : needs;
  });
}

/** The first mention, completed by what only a later one tells. */
function mergeNeeds(first: Need, later: Need): Need {
  const typed = first.isTyped || !later.isTyped ? first : later;
  return {
    ...first,
    isTyped: first.isTyped || later.isTyped,
    hasDefault: first.hasDefault && later.hasDefault,
    variable: {
      ...typed.variable,
      default: first.variable.default ?? later.variable.default,
      parameter: first.variable.parameter ?? later.variable.parameter,
      required: first.variable.required || later.variable.required,
      annotations:
        first.variable.annotations.length > 0 ? first.variable.annotations : later.variable.annotations,
    },
  };
}

function jobNeeds(definition: ComposeDefinition, job: JobDefinition): Need[] {
  const ofError = needsOf(job.onError?.output);
  switch (job.type) {
    case "component": {
      const inner = callNeeds(definition, job.call);
      const input = job.input === undefined ? inner : throughMapping(job.input, inner, "input");
      const count = needsOf(job.repeatCount, { type: "integer", required: true });
      return [...input, ...count, ...needsOf(job.output), ...ofError];
    }
    case "delay":
      return [...needsOf(job.duration), ...needsOf(job.output), ...ofError];
    case "if": {
      const compared = job.conditions.flatMap(({ input, value }) => [...needsOf(input), ...needsOf(value)]);
      return [...needsOf(job.input), ...compared, ...ofError];
    }
    case "switch":
      return [...needsOf(job.input), ...job.cases.flatMap(({ value }) => needsOf(value)), ...ofError];
    case "for-each": {
      const inner = callNeeds(definition, job.call);
      const ofItem = job.itemInput === undefined ? inner : throughMapping(job.itemInput, inner, "item");
      const whole = ofItem.find(({ path }) => path.length === 0);
      const type = whole?.isTyped ? whole.variable.type : undefined;
      const list = needsOf(job.input, { type, isList: true, required: true });
      const batch = needsOf(job.batchSize, { type: "integer" });
      const outputs = [...needsOf(job.itemOutput), ...needsOf(job.output)];
      return [...list, ...batch, ...needsOf(job.itemInput), ...outputs, ...ofError];
    }
  }
}

function callNeeds(definition: ComposeDefinition, call: Call): Need[] {
  switch (call.kind) {
    case "model": {
      const { action } = call;
      return [
        ...(action.kind === "prompt" ? promptNeeds(action.prompt) : chatNeeds(action)),
        ...[...action.parameters].flatMap(([name, node]) =>
          needsOf(node, { type: parameterType(name), parameter: name }),
        ),
      ];
    }
    case "http-client": {
      const { baseUrl, headers } = call.component;
      const { target, headers: own, params, body } = call.action;
      const url = target.kind === "path" ? [baseUrl, target.node] : [target.node];
      return [
        ...url.flatMap((node) => needsOf(node, { required: true })),
        ...[...headers.values(), ...own.values()].flatMap((node) => needsOf(node, { secret: true })),
        ...[...params.values(), body].flatMap((node) => needsOf(node)),
      ];
    }
    case "workflow": {
      const inner = allNeeds(definition, findWorkflow(definition, call.action.workflow));
      const { input } = call.action;
      return input === undefined ? [...inner] : throughMapping(input, inner, "input");
    }
  }
}

function promptNeeds(prompt: SourceNode): Need[] {
  const prompts = prompt.kind === "list" ? prompt.items : [prompt];
  return prompts.flatMap((node) => needsOf(node, { required: solePlaceholder(node) !== undefined }));
}

function chatNeeds(action: ChatCompletionAction): Need[] {
  const { messages, tools, toolChoice, parallelToolCalls, documents, chatTemplate } = action;
  const { templateVariables, reasoningTags, toolCallTags } = action;
  return [
    ...messageNeeds(messages),
    ...[tools, documents].flatMap((node) => needsOf(node, { type: "json" })),
    ...needsOf(chatTemplate, { type: "text" }),
    ...needsOf(parallelToolCalls, { type: "boolean" }),
    ...[toolChoice, templateVariables, reasoningTags, toolCallTags].flatMap((node) => needsOf(node)),
  ];
}

/** The needs of a conversation. A placeholder that stands for messages takes JSON, one for what is said a text. */
function messageNeeds(node: SourceNode): Need[] {
  if (node.kind === "list") {
    return node.items.flatMap(messageNeeds);
  }
  if (node.kind === "mapping") {
    return [...node.entries].flatMap(([key, { value }]) =>
      key === "content"
        ? needsOf(value, { type: "text", required: solePlaceholder(value) !== undefined })
        : needsOf(value),
    );
  }
  const spread = spreadTemplate(node);
  // A history may be missing.
  if (spread !== undefined) {
    return needsOf(spread, { type: "json" });
  }
  return needsOf(node, { type: "json", required: solePlaceholder(node) !== undefined });
}

/** What the templates of a tree use of `source`, and what their place tells of it. */
function needsOf(node: SourceNode | undefined, hint: Hint = {}, source = "input"): Need[] {
  if (node === undefined) {
    return [];
  }
  return [...placeholdersIn(node)].flatMap(({ placeholder, scalar }) => {
    if (placeholder.name !== source) {
      return [];
    }
    const isWhole = solePlaceholder(scalar) === placeholder;
    // Inside a longer text a value is text, whatever the text is for; inside a default it may be missing.
    const required = hint.required && scalar.template?.parts.includes(placeholder);
    const secret = hint.secret ?? scalar.secret;
    return [needOf(placeholder, isWhole ? { ...hint, secret } : { required, secret })];
  });
}

function needOf(placeholder: Placeholder, hint: Hint): Need {
  return {
    variable: variableOf(placeholder, nameOf(placeholder.path), hint),
    path: placeholder.path,
    isTyped: placeholder.type !== undefined || hint.type !== undefined,
    hasDefault: placeholder.default !== undefined,
  };
}

/** Needs of what stands behind a mapping, in terms of what the mapping is made from. */
function throughMapping(mapping: SourceNode, inner: readonly Need[], source: string): Need[] {
  const passed = solePlaceholder(mapping);
  if (passed?.name === source && passed.path.length === 0 && !passed.default && !passed.type) {
    return [...inner];
  }
  if (mapping.kind !== "mapping") {
    return needsOf(mapping, {}, source);
  }
  return [...mapping.entries].flatMap(([key, { value }]) => {
    const behind = inner.find(
      ({ path }) => path.length === 1 && path[0]?.kind === "key" && path[0].key === key,
    );
    const own = needsOf(value, {}, source);
    const [only] = own;
    const placeholder = solePlaceholder(value);
    if (behind === undefined || only === undefined || placeholder === undefined) {
      return own;
    }
    return [passOn(only, behind), ...own.slice(1)];
  });
}

/** A value that is handed on as it is: what is known of it there is known here. */
function passOn(own: Need, behind: Need): Need {
  const { type, isList, subtype, format, options } = own.isTyped ? own.variable : behind.variable;
  const fallback = own.variable.default ?? (own.hasDefault ? undefined : behind.variable.default);
  const annotations = own.variable.annotations.length > 0 ? own.variable : behind.variable;
  return {
    ...own,
    isTyped: own.isTyped || behind.isTyped,
    variable: {
      name: own.variable.name,
      type,
      isList: own.variable.isList || isList,
      subtype,
      format,
      options,
      default: fallback,
      parameter: own.variable.parameter ?? behind.variable.parameter,
      required: own.variable.required || (behind.variable.required && !own.hasDefault),
      annotations: annotations.annotations,
    },
  };
}

/** `user.name`, `list[0].x`; a path is named as far as it is fixed. */
export function nameOf(path: readonly PathSegment[]): string | undefined {
  const names: string[] = [];
  for (const segment of path) {
    if (segment.kind === "key") {
      names.push(names.length === 0 ? segment.key : `.${segment.key}`);
    } else if (segment.kind === "index") {
      names.push(`[${segment.index}]`);
    } else {
      break;
    }
  }
  return names.length === 0 ? undefined : names.join("");
}
