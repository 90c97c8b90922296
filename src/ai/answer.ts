/** Answers of this library as the AI SDK has them. */
import type {
  JSONObject,
  LanguageModelV3Content,
  LanguageModelV3FinishReason,
  LanguageModelV3StreamPart,
  LanguageModelV3Usage,
  SharedV3ProviderMetadata,
} from "@ai-sdk/provider";
import type { ChatPart, ChatResult } from "../models/chat/chat.ts";
import type { ToolCall } from "../models/chat/messages.ts";
import { toolCallId } from "../models/chat/tool-call-id.ts";
import type { GenerateResult } from "../runtime/generation/types.ts";
import { PROVIDER_KEY } from "./call-options.ts";

/** An answer, of a chat or of a completion, which is all content. */
export type Answer = GenerateResult & Partial<Pick<ChatResult, "content" | "reasoning" | "toolCalls">>;

/** A piece of one. */
export interface AnswerPart extends Pick<ChatPart, "text" | "toolCall"> {
  readonly type: ChatPart["type"];
  readonly result?: Answer;
}

/** The parts of a whole answer, in the order in which the model wrote their kinds: thoughts, text, calls. */
export function contentOf({
  newText,
  content = newText,
  reasoning,
  toolCalls = [],
}: Answer): LanguageModelV3Content[] {
  return [
    ...(reasoning === undefined || reasoning === "" ? [] : [{ type: "reasoning" as const, text: reasoning }]),
    ...(content === "" ? [] : [{ type: "text" as const, text: content }]),
    ...toolCalls.map((call) => toolCallContent(call)),
  ];
}

function toolCallContent({
  name,
  arguments: given,
}: ToolCall): LanguageModelV3Content & { type: "tool-call" } {
  return { type: "tool-call", toolCallId: toolCallId(), toolName: name, input: JSON.stringify(given) };
}

/** Why an answer ended. An answer with calls ended for them, as long as it was not cut. */
export function finishOf({ finishReason: raw, toolCalls = [] }: Answer): LanguageModelV3FinishReason {
  if (raw === "length" || raw === "context") {
    return { unified: "length", raw };
  }
  return { unified: toolCalls.length > 0 ? "tool-calls" : "stop", raw };
}

/** What an answer took. Which of its tokens are thoughts is not counted: tags and calls are neither thoughts nor text. */
export function usageOf({
  usage,
  newText,
  content,
  reasoning = "",
  toolCalls = [],
}: Answer): LanguageModelV3Usage {
  const { promptTokens, cachedTokens = 0, completionTokens } = usage;
  const isAllText = reasoning === "" && toolCalls.length === 0 && (content ?? newText) === newText;
  return {
    inputTokens: {
      total: promptTokens,
      noCache: promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: {
      total: completionTokens,
      text: isAllText ? completionTokens : undefined,
      reasoning: isAllText ? 0 : undefined,
    },
    raw: { ...usage },
  };
}

/** What else is known of an answer: the seed that gives it again, how long it took, log-probabilities, warnings. */
export function metadataOf({
  seed,
  stopString,
  timings,
  logprobs,
  warnings,
}: Answer): SharedV3ProviderMetadata {
  const known: JSONObject = {
    seed,
    stopString,
    timings: { ...timings },
    logprobs: logprobs?.map(({ top, ...chosen }) => ({ ...chosen, top: top.map((one) => ({ ...one })) })),
    warnings,
  };
  return { [PROVIDER_KEY]: known };
}

/** The pieces of an answer as parts of a stream: each run of one kind is a block with a start and an end. */
export class AnswerStream {
  #open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined;
  #blocks = 0;

  push({ type, text, toolCall, result }: AnswerPart): LanguageModelV3StreamPart[] {
    const parts: LanguageModelV3StreamPart[] = [];
    if (toolCall !== undefined) {
      parts.push(...this.#close(), ...toolParts(toolCall));
    } else if (text !== "") {
      parts.push(...this.#text(type === "reasoning" ? "reasoning" : "text", text));
    }
    if (result !== undefined) {
      const finishReason = finishOf(result);
      parts.push(...this.#close(), {
        type: "finish",
        finishReason,
        usage: usageOf(result),
        providerMetadata: metadataOf(result),
      });
    }
    return parts;
  }

  #text(kind: "text" | "reasoning", delta: string): LanguageModelV3StreamPart[] {
    if (this.#open?.kind === kind) {
      return [{ type: `${kind}-delta`, id: this.#open.id, delta }];
    }
    const ended = this.#close();
    const id = String(this.#blocks++);
    this.#open = { kind, id };
    return [...ended, { type: `${kind}-start`, id }, { type: `${kind}-delta`, id, delta }];
  }

  #close(): LanguageModelV3StreamPart[] {
    const open = this.#open;
    this.#open = undefined;
    return open === undefined ? [] : [{ type: `${open.kind}-end`, id: open.id }];
  }
}

/** A call is known when it is whole: its input comes in one piece. */
function toolParts(call: ToolCall): LanguageModelV3StreamPart[] {
  const part = toolCallContent(call);
  const { toolCallId: id, toolName, input } = part;
  return [
    { type: "tool-input-start", id, toolName },
    { type: "tool-input-delta", id, delta: input },
    { type: "tool-input-end", id },
    part,
  ];
}
