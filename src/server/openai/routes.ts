/** OpenAI's API. */
import type { Context } from "hono";
import { HttpError } from "../http-error.ts";
import type { Question, Setting } from "../model-api/ask.ts";
import type { ApiModel, ModelCatalog } from "../model-api/catalog.ts";
import { checkBody, settingsOf, withoutNulls } from "../model-api/read-fields.ts";
import { respond } from "../model-api/respond.ts";
import { readObject } from "../read-request.ts";
import type { Answer, Route, RouteOptions } from "../routes.ts";
import type { WorkflowService } from "../service.ts";
import {
  chatBody,
  completionBody,
  embeddingsBody,
  modelBody,
  modelListBody,
  openAiFailureBody,
  type ModelBody,
  type ModelListBody,
} from "./bodies.ts";
import { chatMessages } from "./messages.ts";
import { embed } from "./embeddings.ts";
import { callFields, formatSettings } from "./chat-fields.ts";
import {
  chatRequest,
  completionRequest,
  embeddingsRequest,
  parametersOfFields,
  type ChatRequest,
} from "./requests.ts";
import { responseBody } from "./responses/bodies.ts";
import { chatMessages as responseMessages } from "./responses/input.ts";
import {
  LOGPROBS_INCLUDED,
  parametersOfFields as parametersOfResponses,
  responsesRequest,
  type ResponsesRequest,
} from "./responses/requests.ts";
import { responseWriter } from "./responses/writer.ts";
import { chatWriter, completionWriter } from "./writers.ts";

const failureTexts: Readonly<Record<number, string>> = {
  400: "A field is wrong or not supported, which param names; or the prompt is beyond the context.",
  404: "There is no such model.",
  413: "The body is too large.",
  429: "Too many runs are waiting; Retry-After says when to try again.",
  500: "The run failed.",
  503: "The server takes no runs at the moment.",
};
const failures = (...statuses: number[]): Record<number, Answer> =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: failureTexts[status] ?? "A failure.", body: openAiFailureBody },
    ]),
  );

const chatExample = '{"model": "…", "messages": [{"role": "user", "content": "Hello"}]}';
const embeddingsExample = '{"model": "…", "input": "A text"}';
const responsesExample = '{"model": "…", "input": "Hello"}';
const completionExample = '{"model": "…", "prompt": "Once upon a time"}';

/** The operations of OpenAI's API on a service; they stand at the root of the server. */
export function openAiRoutes(
  service: WorkflowService,
  catalog: ModelCatalog,
  options: RouteOptions,
): readonly Route[] {
  const created = Math.floor(Date.now() / 1000);
  const modelOf = ({ id }: ApiModel): ModelBody => ({
    id,
    object: "model",
    created,
    owned_by: "model-compose",
  });
  const read = (context: Context, example: string): Promise<Readonly<Record<string, unknown>>> => {
    const { maxBodyBytes: maxBytes } = service.definition.controller;
    return readObject(context.req.raw, { maxBytes, kept: service.tasks.kept, example });
  };

  const chat = async (context: Context): Promise<Response> => {
    const request = checkBody(chatRequest, withMessagesWithoutNulls(await read(context, chatExample)));
    const { stream = false, stream_options: streaming, tools, tool_choice: choice } = request;
    const { chat_template_kwargs: variables } = request;
    requireStream(stream, streaming);
    const model = catalog.find(request.model);
    const question: Question = {
      operation: "/v1/chat/completions",
      model,
      subject: { kind: "chat", messages: chatMessages(request.messages) },
      settings: [
        ...settingsOf(withOneMaximum(request), parametersOfFields),
        ...formatSettings("response_format", request.response_format),
        ...logprobSettings(request),
      ],
      tools: choice === "none" ? null : tools?.map(withoutNullStrict),
      calls: callFields(request),
      templateVariables: variables && { field: "chat_template_kwargs", values: variables },
    };
    const writer = chatWriter({ model, stream, includeUsage: streaming?.include_usage ?? false });
    return respond(context, service, question, writer, options);
  };

  const complete = async (context: Context): Promise<Response> => {
    const request = checkBody(completionRequest, await read(context, completionExample));
    const { prompt, stream = false, stream_options: streaming, echo = false, n = 1 } = request;
    requireStream(stream, streaming);
    const model = catalog.find(request.model);
    const question: Question = {
      operation: "/v1/completions",
      model,
      subject: { kind: "prompt", prompt },
      settings: settingsOf(request, { ...parametersOfFields, logprobs: "logprobs" }),
    };
    const writer = completionWriter({
      model,
      stream,
      includeUsage: streaming?.include_usage ?? false,
      prompts: echo ? { prompts: [prompt].flat(), texts: n } : undefined,
    });
    return respond(context, service, question, writer, options);
  };

  const respondTo = async (context: Context): Promise<Response> => {
    const request = checkBody(responsesRequest, await read(context, responsesExample));
    requireStream(request.stream ?? false, request.stream_options);
    const { chat_template_kwargs: variables } = request;
    const question: Question = {
      operation: "/v1/responses",
      model: catalog.find(request.model),
      subject: { kind: "chat", messages: responseMessages(request) },
      settings: [
        ...settingsOf(request, parametersOfResponses),
        ...formatSettings("text", request.text?.format),
        ...responseLogprobs(request),
      ],
      tools: request.tool_choice === "none" ? null : request.tools?.map(chatTool),
      calls: callFields(request),
      templateVariables: variables && { field: "chat_template_kwargs", values: variables },
    };
    return respond(context, service, question, responseWriter(request), options);
  };

  return [
    {
      method: "get",
      atRoot: true,
      path: "/v1/models",
      summary: "The models: components, and workflows that take messages or a prompt",
      answers: { 200: { description: "All, each once.", body: modelListBody } },
      handle: (context) => {
        const body: ModelListBody = { object: "list", data: catalog.models.map(modelOf) };
        return context.json(body);
      },
    },
    {
      method: "get",
      atRoot: true,
      path: "/v1/models/{id}",
      summary: "A model",
      answers: { 200: { description: "The model.", body: modelBody }, ...failures(404) },
      handle: (context) => context.json(modelOf(catalog.find(context.req.param("id") ?? ""))),
    },
    {
      method: "post",
      atRoot: true,
      path: "/v1/chat/completions",
      summary: "Answer a conversation",
      body: chatRequest,
      answers: {
        200: {
          description: "The answer; with stream: true its chunks, then [DONE].",
          body: chatBody,
          mediaType: "text/event-stream",
        },
        ...failures(400, 404, 413, 429, 500, 503),
      },
      handle: chat,
    },
    {
      method: "post",
      atRoot: true,
      path: "/v1/completions",
      summary: "Continue a prompt",
      body: completionRequest,
      answers: {
        200: {
          description: "The new text; with stream: true its chunks, then [DONE].",
          body: completionBody,
          mediaType: "text/event-stream",
        },
        ...failures(400, 404, 413, 429, 500, 503),
      },
      handle: complete,
    },
    {
      method: "post",
      atRoot: true,
      path: "/v1/embeddings",
      summary: "Make vectors of texts",
      body: embeddingsRequest,
      answers: {
        200: { description: "The vectors, each of length 1.", body: embeddingsBody },
        ...failures(400, 404, 413, 429, 500, 503),
      },
      handle: async (context) => {
        const request = checkBody(embeddingsRequest, await read(context, embeddingsExample));
        const model = catalog.find(request.model);
        return context.json(await embed(service, model, request, context.req.raw.signal));
      },
    },
    {
      method: "post",
      atRoot: true,
      path: "/v1/responses",
      summary: "Answer a conversation of items",
      body: responsesRequest,
      answers: {
        200: {
          description: "The response; with stream: true its events, then [DONE].",
          body: responseBody,
          mediaType: "text/event-stream",
        },
        ...failures(400, 404, 413, 429, 500, 503),
      },
      handle: respondTo,
    },
  ];
}

/** A tool of a response as chat templates read it. */
function chatTool({
  name,
  description,
  parameters,
  strict,
}: NonNullable<ResponsesRequest["tools"]>[number]): object {
  return {
    type: "function",
    function: {
      name,
      ...(description && { description }),
      ...(parameters && { parameters }),
      ...(strict && { strict }),
    },
  };
}

/** Clients send null for what they leave open. */
function withoutNullStrict(tool: NonNullable<ChatRequest["tools"]>[number]): object {
  const { strict, ...rest } = tool.function;
  return { ...tool, function: { ...rest, ...(strict && { strict }) } };
}

/** How many alternatives are told of each token of a response; tokens are told where alternatives, or they themselves, are asked for. */
function responseLogprobs({ top_logprobs: top, include = [] }: ResponsesRequest): Setting[] {
  const isAsked = top !== undefined || include.includes(LOGPROBS_INCLUDED);
  return isAsked ? [{ field: "top_logprobs", parameter: "logprobs", value: top ?? 0 }] : [];
}

/**
 * How many alternatives are told of each token of a chat.
 *
 * @throws HttpError 400 for a number of them where nothing is to be told
 */
function logprobSettings({ logprobs = false, top_logprobs: top }: ChatRequest): Setting[] {
  if (!logprobs && top !== undefined && top > 0) {
    const field = "top_logprobs";
    throw new HttpError(400, `The field "${field}" needs logprobs: true.`, { field });
  }
  return logprobs ? [{ field: "top_logprobs", parameter: "logprobs", value: top ?? 0 }] : [];
}

/** What a stream has and a whole answer has not is refused where no stream is asked for. */
function requireStream(stream: boolean, options: object | undefined): void {
  if (options !== undefined && !stream) {
    const message = "stream_options stand beside stream: true only.";
    throw new HttpError(400, message, { field: "stream_options" });
  }
}

/** Both names of the maximum mean one parameter: the newer one counts. */
function withOneMaximum<R extends { max_tokens?: number; max_completion_tokens?: number }>(request: R): R {
  return request.max_completion_tokens === undefined ? request : { ...request, max_tokens: undefined };
}

/** Clients send messages back as they got them, with null for what a message does not have. */
function withMessagesWithoutNulls(
  body: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { messages } = body;
  if (!Array.isArray(messages)) {
    return body;
  }
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  return {
    ...body,
    messages: messages.map((message: unknown) => (isObject(message) ? withoutNulls(message) : message)),
  };
}
