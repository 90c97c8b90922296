/** A workflow that no file has: one call of a model's component, with what somebody asks for in place of the action's own. */
import { parseTemplate } from "../template/parse.ts";
import type { Location } from "../source/problems.ts";
import type { MappingEntry, ScalarNode, SourceNode } from "../source/source-tree.ts";
import {
  anonymousIds,
  type Call,
  type ChatCompletionAction,
  type ModelAction,
  type ModelComponent,
  type TextGenerationAction,
  type WorkflowDefinition,
} from "./definition.ts";
import type { GenerationParameterName } from "./parameters.ts";

/** Which fields of the workflow's input hold what; what is not here is as the component's action has it. */
export interface DirectFields {
  /** The field with the prompt, or with the messages. */
  readonly subject: { readonly kind: "prompt" | "chat"; readonly field: string };
  readonly parameters: ReadonlyMap<GenerationParameterName, string>;
  /** The field with the functions that the model may call; null: it may call none. */
  readonly tools?: string | null;
  /** The fields that say whether the model calls them, and how many at once; absent: as the file has it. */
  readonly toolChoice?: string;
  readonly parallelToolCalls?: string;
  /** Variables of the chat template beside those of the file, and over them. */
  readonly templateVariables?: { readonly field: string; readonly names: readonly string[] };
}

/** Parameters that shape what a run gives, which is not what somebody gets who asks the model itself: one whole text. */
const OF_RUNS = [
  "streaming",
  "return_full_text",
  "batch_size",
  "max_input_length",
  "num_return_sequences",
] as const;

/**
 * The workflow that asks a component directly. Its prompts are never cut, and its texts end where the file says, else where
 * the context does.
 */
export function directWorkflow(
  id: string,
  component: ModelComponent,
  fields: DirectFields,
): WorkflowDefinition {
  const own = defaultAction(component);
  const { location } = component;
  const node = (field: string): ScalarNode => templateNode(`\${input.${field}}`, location);
  const parameters = new Map(own?.parameters);
  for (const name of OF_RUNS) {
    parameters.delete(name);
  }
  for (const [name, field] of fields.parameters) {
    parameters.set(name, node(field));
  }
  const base = {
    id: own?.id ?? anonymousIds.action,
    default: true,
    location,
    parameters,
    fillsContext: true,
  };
  const subject = node(fields.subject.field);
  const action: ModelAction =
    fields.subject.kind === "prompt"
      ? ({ ...base, kind: "prompt", prompt: subject } satisfies TextGenerationAction)
      : chatAction(own, { ...base, kind: "chat", messages: subject }, fields, node);
  const call: Call = { kind: "model", component, action };
  const job = {
    type: "component",
    id: anonymousIds.job,
    dependsOn: [],
    maxRunCount: 1,
    location,
    call,
  } as const;
  return { id, default: false, private: true, jobs: [job] };
}

/** The file's variables, with those of a request over them. */
function withVariables(
  ofFile: SourceNode | undefined,
  given: DirectFields["templateVariables"],
  node: (field: string) => ScalarNode,
): SourceNode | undefined {
  if (given === undefined) {
    return ofFile;
  }
  const whole = node(given.field);
  const { location } = whole;
  const entries = new Map<string, MappingEntry>();
  if (ofFile !== undefined) {
    entries.set("...", { key: location, value: ofFile });
  }
  for (const name of given.names) {
    entries.set(name, { key: location, value: keyOf(whole, name) });
  }
  return { kind: "mapping", entries, location };
}

/** The node of a key of what a node stands for. The key may be one that no template could write. */
function keyOf(node: ScalarNode, key: string): ScalarNode {
  const parts = (node.template?.parts ?? []).map((part) =>
    typeof part === "string" ? part : { ...part, path: [...part.path, { kind: "key", key } as const] },
  );
  return { ...node, template: { source: String(node.value), parts } };
}

function templateNode(value: string, location: Location): ScalarNode {
  return { kind: "scalar", value, template: parseTemplate(value), plain: true, location };
}

/** The action whose parameters are those of a component that is asked without naming one. */
function defaultAction({ actions }: ModelComponent): ModelAction | undefined {
  return actions.find((action) => action.default) ?? actions[0];
}

function chatAction(
  own: ModelAction | undefined,
  action: ChatCompletionAction,
  { tools, toolChoice, parallelToolCalls, templateVariables }: DirectFields,
  node: (field: string) => ScalarNode,
): ChatCompletionAction {
  const ofFile: Partial<ChatCompletionAction> = own?.kind === "chat" ? own : {};
  const toolsNode: SourceNode | undefined = tools === undefined || tools === null ? undefined : node(tools);
  return {
    ...action,
    // All of the answer is the run's output, so that calls of tools show in its task.
    output: templateNode("${response}", action.location),
    tools: tools === undefined ? ofFile.tools : toolsNode,
    toolChoice: toolChoice === undefined ? ofFile.toolChoice : node(toolChoice),
    parallelToolCalls: parallelToolCalls === undefined ? ofFile.parallelToolCalls : node(parallelToolCalls),
    documents: ofFile.documents,
    chatTemplate: ofFile.chatTemplate,
    templateVariables: withVariables(ofFile.templateVariables, templateVariables, node),
    reasoningTags: ofFile.reasoningTags,
    toolCallTags: ofFile.toolCallTags,
  };
}
