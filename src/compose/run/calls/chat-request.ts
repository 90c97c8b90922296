import type { Tags } from "../../../models/chat/answer.ts";
import type { ChatOptions } from "../../../models/chat/chat.ts";
import { listProblem, type ChatMessage } from "../../../models/chat/messages.ts";
import { isToolChoice, TOOL_CHOICE_EXPECTED } from "../../../models/chat/tool-choice.ts";
import type { ChatCompletionAction } from "../../definition/definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import { isObject, show } from "../../template/convert.ts";
import { evaluateNode, spreadTemplate } from "../../source/node-templates.ts";
import { fieldsOf } from "../origin.ts";
import type { CallSite } from "../site.ts";
import { missingTextError } from "./missing-input.ts";
import type { RenderedInputs } from "./rendered-inputs.ts";

const remedy = "Give it a text.";

/** Renders the conversations of an action, and what their template takes. @throws WorkflowInputError */
export function renderChat(action: ChatCompletionAction, site: CallSite): RenderedInputs {
  const node = action.messages;
  const value = evaluateNode(node, site.scope);
  const chat = renderChatOptions(action, site);
  if (Array.isArray(value) && value.length > 0 && value.every((item) => Array.isArray(item))) {
    const inputs = value.map((one: unknown, i) => conversation(one, itemOf(node, i), `messages[${i}]`, site));
    return { inputs, isList: true, chat };
  }
  return { inputs: [conversation(value, node, "messages", site)], isList: false, chat };
}

/** The messages of a conversation: a list as it is; a single message, or what a user says, stands for a list of one. */
function conversation(
  value: unknown,
  node: SourceNode,
  name: string,
  site: CallSite,
): readonly ChatMessage[] {
  if (value === null || value === "") {
    throw missingTextError({ name, node, remedy }, value, site);
  }
  if (typeof value === "string") {
    return [{ role: "user", content: value }];
  }
  const isSingle = isObject(value);
  const messages: unknown = isSingle ? [value] : value;
  if (Array.isArray(messages)) {
    requireTexts(messages, isSingle ? [node] : templatesOf(node, messages), name, site);
  }
  const problem = Array.isArray(messages)
    ? listProblem(messages)
    : { path: "", expected: "a list of messages", found: value };
  if (problem === undefined) {
    return messages as readonly ChatMessage[];
  }
  const { path, expected, found } = problem;
  const [field] = fieldsOf(node, site.scope);
  throw new WorkflowInputError(
    `${name}${isSingle ? path.replace("[0]", "") : path} must be ${expected}, found ${show(found ?? null)}.`,
    field,
    'Write messages as {"role": "user", "content": "…"}.',
  );
}

/**
 * The template of each message where the file writes one: all of a list, or those before and behind what is spread into
 * it.
 */
function templatesOf(node: SourceNode, messages: readonly unknown[]): (SourceNode | undefined)[] {
  if (node.kind !== "list") {
    return [];
  }
  const isSpread = (item: SourceNode): boolean =>
    item.kind === "scalar" && spreadTemplate(item) !== undefined;
  const { items } = node;
  const first = items.findIndex(isSpread);
  if (first < 0) {
    return [...items];
  }
  const behind = items.slice(items.findLastIndex(isSpread) + 1);
  return messages.map((_, i) => (i < first ? items[i] : behind.at(i - messages.length)));
}

/** Refuses a user's message whose text is missing, as the fault of the field that the text comes from. */
function requireTexts(
  messages: readonly unknown[],
  nodes: readonly (SourceNode | undefined)[],
  name: string,
  site: CallSite,
): void {
  for (const [i, message] of messages.entries()) {
    const node = nodes[i];
    const content = node?.kind === "mapping" ? node.entries.get("content")?.value : undefined;
    if (content === undefined || !isObject(message) || message.content !== null) {
      continue;
    }
    if (Array.isArray(message.tool_calls)) {
      continue;
    }
    const text = { name: `the content of ${name}[${i}]`, node: content, remedy };
    throw missingTextError(text, message.content, site);
  }
}

function itemOf(node: SourceNode, index: number): SourceNode {
  return (node.kind === "list" ? node.items[index] : undefined) ?? node;
}

function renderChatOptions(action: ChatCompletionAction, site: CallSite): ChatOptions {
  const { tools, toolChoice, parallelToolCalls, documents, chatTemplate } = action;
  const { templateVariables, reasoningTags, toolCallTags } = action;
  const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
  return {
    // The template sees the time of rendering, so that the prompt that is counted for the context is the one that is
    // read.
    now: new Date(),
    tools: valueOf(tools, "tools", "a list of objects", isObjects, site),
    toolChoice: valueOf(toolChoice, "tool_choice", TOOL_CHOICE_EXPECTED, isToolChoice, site),
    parallelToolCalls: valueOf(
      parallelToolCalls,
      "parallel_tool_calls",
      "true or false",
      (value) => typeof value === "boolean",
      site,
    ),
    documents: valueOf(documents, "documents", "a list of objects", isObjects, site),
    template: valueOf(chatTemplate, "chat_template", "a text", isText, site),
    templateVariables: valueOf(templateVariables, "chat_template_kwargs", "an object", isObject, site),
    reasoningTags: valueOf(reasoningTags, "reasoning_tags", "two texts or false", isTagsOrFalse, site),
    toolCallTags: valueOf(toolCallTags, "tool_call_tags", "two texts", isTags, site),
  };
}

function isTags(value: unknown): value is Tags {
  return (
    Array.isArray(value) && value.length === 2 && value.every((tag) => typeof tag === "string" && tag !== "")
  );
}

function isTagsOrFalse(value: unknown): value is Tags | false {
  return value === false || isTags(value);
}

function isObjects(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.every(isObject);
}

/** The value of an optional part; a template without a value is as if it were not there. */
function valueOf<T>(
  node: SourceNode | undefined,
  name: string,
  expected: string,
  accepts: (value: unknown) => value is T,
  { scope }: CallSite,
): T | undefined {
  const value = node === undefined ? null : evaluateNode(node, scope);
  if (node === undefined || value === null) {
    return undefined;
  }
  if (accepts(value)) {
    return value;
  }
  const [field] = fieldsOf(node, scope);
  throw new WorkflowInputError(`${name} must be ${expected}, found ${show(value)}.`, field);
}
