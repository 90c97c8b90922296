/** Asks a model of the catalog for texts: every request of another API becomes a run like any other. */
import { directWorkflow } from "../../compose/definition/direct-workflow.ts";
import type { WorkflowDefinition } from "../../compose/definition/definition.ts";
import type { GenerationParameterName } from "../../compose/definition/parameters.ts";
import type { ToolChoice } from "../../models/chat/tool-choice.ts";
import type { ChatMessage } from "../../models/chat/messages.ts";
import { HttpError } from "../http-error.ts";
import type { WorkflowService } from "../service.ts";
import type { Task } from "../task.ts";
import type { ApiModel } from "./catalog.ts";

/** A field of a request that sets a parameter. */
export interface Setting {
  /** The field's name in the request. */
  readonly field: string;
  readonly parameter: GenerationParameterName;
  readonly value: unknown;
}

/** What a request asks of calls. */
export interface CallFields {
  readonly tool_choice?: ToolChoice;
  readonly parallel_tool_calls?: boolean;
}

/** What a request asks a model for. */
export interface Question {
  /** The route's path, under which tasks show the run. */
  readonly operation: string;
  readonly model: ApiModel;
  readonly subject:
    | { readonly kind: "prompt"; readonly prompt: string | readonly string[] }
    | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] };
  readonly settings: readonly Setting[];
  /** Functions that the model may call; null: it may call none. Absent: those of the file. */
  readonly tools?: readonly unknown[] | null;
  /** What is asked of calls, by the fields of the request; absent: what the file asks. */
  readonly calls?: CallFields;
  /** Variables of the chat template beside those of the file, and the field of the request that they come from. */
  readonly templateVariables?: {
    readonly field: string;
    readonly values: Readonly<Record<string, unknown>>;
  };
}

/**
 * Counts the tokens of a question's prompt.
 *
 * @throws HttpError 400 for a workflow, whose prompts are its own; what counting throws
 */
export async function countTokens(
  service: WorkflowService,
  question: Question,
  signal: AbortSignal,
): Promise<number> {
  const { model } = question;
  if (model.kind === "workflow") {
    const message = `"${model.id}" is a workflow, which makes prompts of its own: its tokens cannot be counted.`;
    throw new HttpError(400, message, { field: "model" });
  }
  const { workflow, input } = direct(question, model);
  return service.countTokens(workflow, input, signal);
}

/** Starts the run that answers a question. @throws HttpError naming the field at fault; what starting a run throws */
export function ask(service: WorkflowService, question: Question): Task {
  return question.model.kind === "component"
    ? service.start(direct(question, question.model))
    : askWorkflow(service, question, question.model);
}

/** A question to a component as the workflow that asks it, and its input. */
function direct(
  { operation, subject, settings, tools, calls = {}, templateVariables }: Question,
  { component }: Extract<ApiModel, { kind: "component" }>,
): { readonly workflow: WorkflowDefinition; readonly input: Readonly<Record<string, unknown>> } {
  const field = subject.kind === "prompt" ? "prompt" : "messages";
  const hasTools = tools !== undefined && tools !== null;
  const input: Record<string, unknown> = {
    [field]: subject.kind === "prompt" ? subject.prompt : subject.messages,
    ...Object.fromEntries(settings.map((setting) => [setting.field, setting.value])),
    ...(hasTools ? { tools } : {}),
    ...calls,
    ...(templateVariables === undefined ? {} : { [templateVariables.field]: templateVariables.values }),
  };
  const workflow = directWorkflow(operation, component, {
    subject: { kind: subject.kind, field },
    parameters: new Map(settings.map((setting) => [setting.parameter, setting.field])),
    tools: hasTools ? "tools" : tools,
    ...(calls.tool_choice !== undefined && { toolChoice: "tool_choice" }),
    ...(calls.parallel_tool_calls !== undefined && { parallelToolCalls: "parallel_tool_calls" }),
    templateVariables: templateVariables && {
      field: templateVariables.field,
      names: Object.keys(templateVariables.values),
    },
  });
  return { workflow, input };
}

/** A workflow has places of its own for what it takes: what it has none for is refused, never dropped. */
function askWorkflow(
  service: WorkflowService,
  { subject, settings, tools, calls = {}, templateVariables }: Question,
  { id, workflow, takes }: Extract<ApiModel, { kind: "workflow" }>,
): Task {
  const input: Record<string, unknown> = {};
  const place = (field: string, names: readonly string[], value: unknown): void => {
    const name = names.find(takes);
    if (name === undefined) {
      const places = names.map((each) => `\${input.${each}}`).join(" or ");
      throw new HttpError(
        400,
        `The workflow "${id}" has no place for ${field}: its file would have to use ${places}.`,
        { field },
      );
    }
    input[name] = value;
  };
  const { messages, prompt } = conversationOf(subject);
  if (takes("messages")) {
    input.messages = messages;
  }
  if (takes("prompt")) {
    input.prompt = prompt;
  }
  for (const { field, parameter, value } of settings) {
    // One answer is what every workflow gives.
    if (parameter !== "num_return_sequences" || value !== 1) {
      place(field, [field, parameter], value);
    }
  }
  if (tools !== undefined && tools !== null) {
    place("tools", ["tools"], tools);
  }
  for (const [field, value] of Object.entries(calls)) {
    // What a model does anyway needs no place.
    if (takes(field) || (value !== true && value !== "auto")) {
      place(field, [field], value);
    }
  }
  if (templateVariables !== undefined) {
    place(templateVariables.field, ["chat_template_kwargs"], templateVariables.values);
  }
  return service.start({ workflow: workflow.id, input });
}

function conversationOf(subject: Question["subject"]): {
  messages: readonly ChatMessage[];
  prompt: string;
} {
  if (subject.kind === "chat") {
    const { messages } = subject;
    const last = messages.findLast(({ role }) => role === "user")?.content;
    if (typeof last !== "string") {
      throw new HttpError(400, "There is no message of the user.", { field: "messages" });
    }
    return { messages, prompt: last };
  }
  const { prompt } = subject;
  if (typeof prompt !== "string") {
    throw new HttpError(400, "A workflow takes one prompt: a text.", { field: "prompt" });
  }
  return { messages: [{ role: "user", content: prompt }], prompt };
}
