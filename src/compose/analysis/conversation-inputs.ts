/** Which inputs of a workflow are the conversation that it answers, for whoever holds one with it. */
import type { ChatCompletionAction, WorkflowDefinition } from "../definition/definition.ts";
import { literalValue, solePlaceholder, type SourceNode } from "../source/source-tree.ts";
import { spreadTemplate } from "../source/node-templates.ts";
import type { PathSegment, TypeName } from "../template/ast.ts";
import { nameOf } from "./input-needs.ts";

/** The names of a workflow's inputs that make a conversation: `messages`, or `history` and `prompt`. */
export interface ConversationInputs {
  /** Takes all messages; empty: it is the whole input. */
  readonly messages?: string;
  /** Takes the messages before the user's last one. */
  readonly history?: string;
  /** Takes the text of the user's last message. */
  readonly prompt?: string;
  /** Takes the text of the system's message. The same name as one of the lists: it is the first message of that. */
  readonly system?: string;
}

/**
 * The conversation among the inputs of a workflow that is one call of a chat model. Undefined for other workflows, and where
 * what was said before cannot be given: each run is about one message then.
 */
export function conversationInputs({ jobs }: WorkflowDefinition): ConversationInputs | undefined {
  const [job, ...others] = jobs;
  if (job?.type !== "component" || others.length > 0 || job.repeatCount !== undefined) {
    return undefined;
  }
  const { call } = job;
  if (call.kind !== "model" || call.action.kind !== "chat") {
    return undefined;
  }
  return ofAction(call.action, (node) => inputName(node, job.input));
}

type Named = (node: SourceNode | undefined) => string | undefined;

/** Types of values that are lists of messages. */
const OF_MESSAGES: readonly (TypeName | undefined)[] = [undefined, "json", "list", "object", "any"];

function ofAction({ messages }: ChatCompletionAction, named: Named): ConversationInputs | undefined {
  if (messages.kind === "scalar") {
    const name = named(messages);
    const isList = OF_MESSAGES.includes(solePlaceholder(messages)?.type?.name);
    return name === undefined || !isList ? undefined : { messages: name, system: name };
  }
  if (messages.kind !== "list") {
    return undefined;
  }
  const { items } = messages;
  const history = named(items.map(spreadOf).find((spread) => spread !== undefined));
  const prompt = named(contentOf(items.at(-1), "user"));
  if (history === undefined || prompt === undefined) {
    return undefined;
  }
  const [first] = items;
  const system =
    first !== undefined && spreadOf(first) !== undefined ? history : named(contentOf(first, "system"));
  return { history, prompt, system };
}

function spreadOf(node: SourceNode): SourceNode | undefined {
  return node.kind === "scalar" ? spreadTemplate(node) : undefined;
}

/** The text of a message that the file writes, if it is one of a role. */
function contentOf(message: SourceNode | undefined, role: string): SourceNode | undefined {
  if (message?.kind !== "mapping") {
    return undefined;
  }
  const written = message.entries.get("role")?.value;
  const isOfRole = written !== undefined && literalValue(written)?.value === role;
  return isOfRole ? message.entries.get("content")?.value : undefined;
}

/**
 * The name of the workflow's input that a node of an action is, handed on as it is; undefined where it is more, or less.
 *
 * @param mapping what the job gives the component; undefined: the input as it is
 */
function inputName(node: SourceNode | undefined, mapping: SourceNode | undefined): string | undefined {
  const path = inputPath(node);
  if (path === undefined || mapping === undefined) {
    return path && nameOfWhole(path);
  }
  const whole = inputPath(mapping);
  if (whole !== undefined) {
    return nameOfWhole([...whole, ...path]);
  }
  const [first, ...rest] = path;
  if (mapping.kind !== "mapping" || first?.kind !== "key") {
    return undefined;
  }
  const behind = inputPath(mapping.entries.get(first.key)?.value);
  return behind && nameOfWhole([...behind, ...rest]);
}

/** The path of the one placeholder of the input that a node is. */
function inputPath(node: SourceNode | undefined): readonly PathSegment[] | undefined {
  const placeholder = node && solePlaceholder(node);
  return placeholder?.name === "input" ? placeholder.path : undefined;
}

/** The name of a path of keys; a place in a list is no input that a conversation could be put into. */
function nameOfWhole(path: readonly PathSegment[]): string | undefined {
  return path.every(({ kind }) => kind === "key") ? (nameOf(path) ?? "") : undefined;
}
