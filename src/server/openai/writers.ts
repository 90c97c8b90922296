/** Writes answers as OpenAI's API does: as a whole, or as a stream of chunks. */
import { randomUUID } from "node:crypto";
import type { ToolCall } from "../../models/chat/messages.ts";
import type { FinishReason } from "../../runtime/generation/types.ts";
import { requestFailure } from "../http-error.ts";
import { toolCallId } from "../../models/chat/tool-call-id.ts";
import type { AnswerWriter } from "../model-api/respond.ts";
import { wholeAnswer, type AnswerEvent, type AnswerUsage } from "../model-api/answer.ts";
import { fingerprint, type ApiModel } from "../model-api/catalog.ts";
import { sseEvent } from "../sse.ts";
import type {
  ChatBody,
  ChatChunk,
  CompletionBody,
  OpenAiFinish,
  OpenAiUsageBody,
  ToolCallBody,
} from "./bodies.ts";
import { openAiFailure } from "./failures.ts";
import {
  chatLogprobs,
  completionLogprobs,
  type ChatLogprobsBody,
  type CompletionLogprobsBody,
} from "./logprobs.ts";

/** How an answer is wanted. */
export interface WriterOptions {
  readonly model: ApiModel;
  readonly stream: boolean;
  /** Whether a stream ends with a chunk that has the usage. */
  readonly includeUsage: boolean;
}

/** Writes answers to conversations. */
export function chatWriter(options: WriterOptions): AnswerWriter {
  const head = headOf("chatcmpl", options.model);
  return {
    whole: async (events) => {
      const { choices, usage } = await wholeAnswer(events);
      return {
        ...head,
        object: "chat.completion",
        choices: choices.map(({ content, reasoning, calls, finish, logprobs }, index) => ({
          index,
          message: {
            role: "assistant",
            content: content === "" && calls.length > 0 ? null : content,
            refusal: null,
            ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
            ...(calls.length === 0 ? {} : { tool_calls: calls.map(toolCallBody) }),
          },
          logprobs: chatLogprobs(logprobs),
          finish_reason: finishOf(finish, calls.length),
        })),
        usage: usageBody(usage),
      } satisfies ChatBody;
    },
    ...(options.stream && { stream: (events) => chunks(new ChatChunks(head, options), events) }),
  };
}

/** Writes continuations of prompts; `prompts` are those that the texts are to begin with. */
export function completionWriter(options: WriterOptions & { readonly prompts?: Echo }): AnswerWriter {
  const head = headOf("cmpl", options.model);
  return {
    whole: async (events) => {
      const { choices, usage } = await wholeAnswer(events);
      return {
        ...head,
        object: "text_completion",
        choices: choices.map(({ content, finish, logprobs }, index) => ({
          index,
          text: echoed(options.prompts, index) + content,
          logprobs: completionLogprobs(logprobs, echoed(options.prompts, index).length),
          finish_reason: finishOf(finish, 0),
        })),
        usage: usageBody(usage),
      } satisfies CompletionBody;
    },
    ...(options.stream && { stream: (events) => chunks(new CompletionChunks(head, options), events) }),
  };
}

/** Prompts that texts begin with, each for so many texts. */
export interface Echo {
  readonly prompts: readonly string[];
  readonly texts: number;
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

/** What all parts of one answer have in common. */
function headOf(prefix: string, model: ApiModel): Head {
  return {
    id: `${prefix}-${randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model: model.id,
    system_fingerprint: fingerprint(model),
  };
}

/** Makes chunks of events. */
interface Chunks {
  take(event: Exclude<AnswerEvent, { type: "usage" }>): readonly unknown[];
  usage(usage: OpenAiUsageBody): unknown;
  readonly includeUsage: boolean;
}

/** The stream: its chunks, and its end; or the error that ends it. */
async function* chunks(made: Chunks, events: AsyncIterable<AnswerEvent>): AsyncGenerator<string, void> {
  try {
    for await (const event of events) {
      const parts =
        event.type === "usage"
          ? made.includeUsage
            ? [made.usage(usageBody(event.usage))]
            : []
          : made.take(event);
      if (parts.length > 0) {
        yield parts.map((part) => sseEvent(JSON.stringify(part))).join("");
      }
    }
    yield sseEvent("[DONE]");
  } catch (error) {
    yield sseEvent(JSON.stringify(openAiFailure(requestFailure(error))));
  }
}

class ChatChunks implements Chunks {
  readonly includeUsage: boolean;
  readonly #head: Head;
  /** Numbers of calls of the choices that have begun. */
  readonly #calls = new Map<number, number>();

  constructor(head: Head, { includeUsage }: WriterOptions) {
    this.#head = head;
    this.includeUsage = includeUsage;
  }

  take(event: Exclude<AnswerEvent, { type: "usage" }>): ChatChunk[] {
    const choice = event.type === "begin" ? 0 : event.choice;
    const begin = this.#calls.has(choice) ? [] : [this.#chunk(choice, { role: "assistant", content: "" })];
    const calls = this.#calls.get(choice) ?? 0;
    this.#calls.set(choice, calls);
    switch (event.type) {
      case "begin":
        return begin;
      case "text": {
        const { kind, text } = event;
        const delta = kind === "reasoning" ? { reasoning_content: text } : { content: text };
        return [...begin, this.#chunk(choice, delta, null, chatLogprobs(event.logprobs))];
      }
      case "call": {
        this.#calls.set(choice, calls + 1);
        const call = { index: calls, ...toolCallBody(event.call) };
        return [...begin, this.#chunk(choice, { tool_calls: [call] })];
      }
      case "end":
        return [...begin, this.#chunk(choice, {}, finishOf(event.finish, calls))];
    }
  }

  usage(usage: OpenAiUsageBody): ChatChunk {
    return { ...this.#head, object: "chat.completion.chunk", choices: [], usage };
  }

  #chunk(
    index: number,
    delta: ChatChunk["choices"][number]["delta"],
    finish: OpenAiFinish | null = null,
    logprobs: ChatLogprobsBody | null = null,
  ): ChatChunk {
    return {
      ...this.#head,
      object: "chat.completion.chunk",
      choices: [{ index, delta, logprobs, finish_reason: finish }],
      ...(this.includeUsage ? { usage: null } : {}),
    };
  }
}

class CompletionChunks implements Chunks {
  readonly includeUsage: boolean;
  readonly #head: Head;
  readonly #echo: Echo | undefined;
  /** Lengths of the texts so far, of those that have begun. */
  readonly #begun = new Map<number, number>();

  constructor(head: Head, { includeUsage, prompts }: WriterOptions & { readonly prompts?: Echo }) {
    this.#head = head;
    this.includeUsage = includeUsage;
    this.#echo = prompts;
  }

  take(event: Exclude<AnswerEvent, { type: "usage" }>): CompletionBody[] {
    if (event.type === "begin" || event.type === "call") {
      return [];
    }
    const { choice } = event;
    const before = this.#begun.get(choice);
    const prompt = before === undefined ? echoed(this.#echo, choice) : "";
    const offset = (before ?? 0) + prompt.length;
    if (event.type === "text") {
      this.#begun.set(choice, offset + event.text.length);
      return [this.#chunk(choice, prompt + event.text, null, completionLogprobs(event.logprobs, offset))];
    }
    this.#begun.set(choice, offset);
    return [this.#chunk(choice, prompt, finishOf(event.finish, 0))];
  }

  usage(usage: OpenAiUsageBody): CompletionBody {
    return { ...this.#head, object: "text_completion", choices: [], usage };
  }

  #chunk(
    index: number,
    text: string,
    finish: OpenAiFinish | null = null,
    logprobs: CompletionLogprobsBody | null = null,
  ): CompletionBody {
    return {
      ...this.#head,
      object: "text_completion",
      choices: [{ index, text, logprobs, finish_reason: finish }],
      ...(this.includeUsage ? { usage: null } : {}),
    };
  }
}

/** The prompt that a choice begins with. */
function echoed(echo: Echo | undefined, choice: number): string {
  return echo?.prompts[Math.floor(choice / echo.texts)] ?? "";
}

function toolCallBody({ name, arguments: given }: ToolCall): ToolCallBody {
  return {
    id: toolCallId(),
    type: "function",
    function: { name, arguments: JSON.stringify(given) },
  };
}

function finishOf(finish: FinishReason, calls: number): OpenAiFinish {
  if (finish === "length" || finish === "context") {
    return "length";
  }
  return calls > 0 ? "tool_calls" : "stop";
}

function usageBody({ promptTokens, cachedTokens, completionTokens }: AnswerUsage): OpenAiUsageBody {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
