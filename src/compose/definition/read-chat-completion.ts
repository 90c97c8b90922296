import { anonymousIds, type ChatCompletionAction } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import { generationParameterNames } from "./parameters.ts";
import type { ProblemList } from "../source/problems.ts";
import { readId } from "./read-ids.ts";
import { literalParameter, oneText, readParameters } from "./read-parameters.ts";
import { literalValue, describeNode, type SourceNode } from "../source/source-tree.ts";

/** The parameters of a conversation. An answer has no prompt that could be left out of it. */
const parameterNames = generationParameterNames.filter((name) => name !== "return_full_text");

/** The keys of an action, which the older dialect writes directly into the component. */
export const chatCompletionKeys = [
  "messages",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "documents",
  "chat_template",
  "chat_template_kwargs",
  "reasoning_tags",
  "tool_call_tags",
  "stream",
  "params",
  "output",
  ...parameterNames,
];

/** Reads an action of task chat-completion. */
export function readChatCompletionAction(
  reader: MappingReader,
  problems: ProblemList,
  inline: boolean,
): ChatCompletionAction | undefined {
  const id = inline ? anonymousIds.action : readId(reader, anonymousIds.action);
  const isDefault = inline ? false : (reader.flag("default") ?? false);
  const messages = reader.take("messages")?.value;
  const parameters = readParameters(reader, problems, parameterNames);
  const action = {
    tools: reader.take("tools")?.value,
    toolChoice: reader.take("tool_choice")?.value,
    parallelToolCalls: reader.take("parallel_tool_calls")?.value,
    documents: reader.take("documents")?.value,
    chatTemplate: reader.take("chat_template")?.value,
    templateVariables: reader.take("chat_template_kwargs")?.value,
    reasoningTags: reader.take("reasoning_tags")?.value,
    toolCallTags: reader.take("tool_call_tags")?.value,
    output: reader.take("output")?.value,
  };
  if (messages === undefined) {
    reader.missing("messages", 'Add messages: [{ role: user, content: "${input.prompt as text}" }].');
    return undefined;
  }
  checkMessages(reader.where, messages, problems, true);
  if (isBatch(messages) && literalParameter(parameters, "streaming") === true) {
    const problem = `${reader.where}: a stream is of one text, found a list of conversations.`;
    problems.invalid(problem, messages.location, oneText);
  }
  const location = reader.firstLine();
  return { kind: "chat", id, default: isDefault, messages, parameters, ...action, location };
}

function isBatch(messages: SourceNode): boolean {
  return messages.kind === "list" && messages.items[0]?.kind === "list";
}

/**
 * Reports what a message lacks, where the file writes the message out.
 *
 * @param mayBeText the text is all of the conversation: what a user says
 */
function checkMessages(where: string, node: SourceNode, problems: ProblemList, mayBeText: boolean): void {
  if (node.kind === "list") {
    if (node.items.length === 0) {
      problems.invalid(`${where}: messages is an empty list.`, node.location, "Write at least one message.");
    }
    for (const item of node.items) {
      checkMessages(where, item, problems, false);
    }
    return;
  }
  if (node.kind === "scalar") {
    const literal = literalValue(node);
    if (literal === undefined || (mayBeText && typeof literal.value === "string")) {
      return;
    }
    problems.invalid(
      `${where}: a message must be a mapping with role and content, found ${describeNode(node)}.`,
      node.location,
    );
    return;
  }
  if (node.entries.has("...")) {
    return;
  }
  for (const key of ["role", "content"]) {
    if (node.entries.has(key) || (key === "content" && node.entries.has("tool_calls"))) {
      continue;
    }
    const [first] = node.entries.values();
    problems.invalid(
      `${where}: a message has no "${key}".`,
      first?.key ?? node.location,
      "Write role: user (or system, assistant, tool) and content:.",
    );
  }
}
