/** Anthropic's API. */
import type { Context } from "hono";
import { countTokens, type CallFields, type Question, type Setting } from "../model-api/ask.ts";
import type { ModelCatalog } from "../model-api/catalog.ts";
import { checkBody, settingsOf } from "../model-api/read-fields.ts";
import { respond } from "../model-api/respond.ts";
import { readObject } from "../read-request.ts";
import type { Answer, Route, RouteOptions } from "../routes.ts";
import type { WorkflowService } from "../service.ts";
import { anthropicFailureBody, countBody, messageBody } from "./bodies.ts";
import { chatMessages, chatTools } from "./messages.ts";
import { countRequest, messagesRequest, parametersOfFields, type CountRequest } from "./requests.ts";
import { messageWriter, ping } from "./writer.ts";

const failureTexts: Readonly<Record<number, string>> = {
  400: "A field is wrong or not supported, which the message names; or the prompt is beyond the context.",
  404: "There is no such model.",
  413: "The body is too large.",
  429: "Too many runs are waiting; Retry-After says when to try again.",
  500: "The run failed.",
  503: "The server takes no runs at the moment.",
};
const failures: Readonly<Record<number, Answer>> = Object.fromEntries(
  Object.entries(failureTexts).map(([status, description]) => [
    status,
    { description, body: anthropicFailureBody },
  ]),
);

const example = '{"model": "…", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}';

/** The operations of Anthropic's API on a service; they stand at the root of the server. */
export function anthropicRoutes(
  service: WorkflowService,
  catalog: ModelCatalog,
  options: RouteOptions,
): readonly Route[] {
  const read = (context: Context): Promise<Readonly<Record<string, unknown>>> => {
    const { maxBodyBytes: maxBytes } = service.definition.controller;
    return readObject(context.req.raw, { maxBytes, kept: service.tasks.kept, example });
  };
  const questionOf = (operation: string, request: CountRequest): Question => ({
    operation,
    model: catalog.find(request.model),
    subject: { kind: "chat", messages: chatMessages(request) },
    settings: [...settingsOf(request, parametersOfFields), ...formatSettings(request)],
    tools: request.tool_choice?.type === "none" ? null : chatTools(request.tools),
    calls: callFields(request.tool_choice),
    templateVariables: thinkingVariables(request.thinking),
  });

  return [
    {
      method: "post",
      atRoot: true,
      path: "/v1/messages",
      summary: "Answer a conversation, as Anthropic's API does",
      body: messagesRequest,
      answers: {
        200: {
          description: "The answer; with stream: true its events.",
          body: messageBody,
          mediaType: "text/event-stream",
        },
        ...failures,
      },
      handle: async (context) => {
        const request = checkBody(messagesRequest, await read(context));
        const question = questionOf("/v1/messages", request);
        const writer = messageWriter(question.model, request.stream ?? false);
        return respond(context, service, question, writer, { ...options, heartbeat: ping });
      },
    },
    {
      method: "post",
      atRoot: true,
      path: "/v1/messages/count_tokens",
      summary: "Count the tokens of a conversation, as Anthropic's API does",
      body: countRequest,
      answers: { 200: { description: "The number of tokens.", body: countBody }, ...failures },
      handle: async (context) => {
        const question = questionOf(
          "/v1/messages/count_tokens",
          checkBody(countRequest, await read(context)),
        );
        return context.json({ input_tokens: await countTokens(service, question, context.req.raw.signal) });
      },
    },
  ];
}

/** What a request asks of calls. "none" is told by leaving the tools out. */
function callFields(choice: CountRequest["tool_choice"]): CallFields {
  if (choice === undefined || choice.type === "none") {
    return {};
  }
  const { disable_parallel_tool_use: isSingle } = choice;
  return {
    ...(choice.type === "any" && { tool_choice: "required" as const }),
    ...(choice.type === "tool" && { tool_choice: { name: choice.name } }),
    ...(isSingle !== undefined && { parallel_tool_calls: !isSingle }),
  };
}

function formatSettings({ output_config: config, output_format: older }: CountRequest): Setting[] {
  const format = config?.format ?? older;
  const field = config?.format ? "output_config" : "output_format";
  return format ? [{ field, parameter: "json_schema", value: format.schema }] : [];
}

/** What templates that know of thinking read. */
function thinkingVariables(thinking: CountRequest["thinking"]): Question["templateVariables"] {
  if (thinking === undefined || thinking.type === "adaptive") {
    return undefined;
  }
  return { field: "thinking", values: { enable_thinking: thinking.type === "enabled" } };
}
