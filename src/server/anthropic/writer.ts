/** Writes answers as Anthropic's API does: as a whole, or as a stream of events. */
import { randomUUID } from "node:crypto";
import type { ToolCall } from "../../models/chat/messages.ts";
import { requestFailure } from "../http-error.ts";
import { toolCallId } from "../../models/chat/tool-call-id.ts";
import type { AnswerEvent, AnswerUsage } from "../model-api/answer.ts";
import type { ApiModel } from "../model-api/catalog.ts";
import type { AnswerWriter } from "../model-api/respond.ts";
import { sseEvent } from "../sse.ts";
import type { AnswerBlock, AnthropicUsage, MessageBody, StopReason } from "./bodies.ts";
import { anthropicFailure } from "./failures.ts";

/** What keeps a connection alive while nothing happens. */
export const ping = eventOf({ type: "ping" });

/** Writes the answer to a conversation. */
export function messageWriter(model: ApiModel, stream: boolean): AnswerWriter {
  const begun: MessageBody = {
    id: `msg_${randomUUID().replaceAll("-", "")}`,
    type: "message",
    role: "assistant",
    model: model.id,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: usageBody({ promptTokens: 0, cachedTokens: 0, completionTokens: 0 }),
  };
  return {
    whole: (events) => wholeMessage(begun, events),
    ...(stream && { stream: (events) => messageEvents(begun, events) }),
  };
}

/** Why an answer has ended, as it comes to be known. */
class Ending {
  #hasCalls = false;
  reason: StopReason = "end_turn";
  sequence: string | null = null;

  take(event: AnswerEvent): void {
    if (event.type === "call") {
      this.#hasCalls = true;
    }
    if (event.type !== "end") {
      return;
    }
    const { finish, stopString = null } = event;
    if (finish === "length" || finish === "context") {
      this.reason = "max_tokens";
    } else if (this.#hasCalls) {
      this.reason = "tool_use";
    } else if (finish === "stop") {
      this.reason = "stop_sequence";
      this.sequence = stopString;
    }
  }
}

async function wholeMessage(begun: MessageBody, events: AsyncIterable<AnswerEvent>): Promise<MessageBody> {
  const content: AnswerBlock[] = [];
  const ending = new Ending();
  let { usage } = begun;
  for await (const event of events) {
    ending.take(event);
    if (event.type === "usage") {
      usage = usageBody(event.usage);
    } else if (event.type === "call") {
      content.push(toolUse(event.call, event.call.arguments));
    } else if (event.type === "text") {
      const last = content.at(-1);
      const type = blockType(event.kind);
      const block = last?.type === type ? last : emptyBlock(type);
      if (block !== last) {
        content.push(block);
      }
      if (block.type === "thinking") {
        block.thinking += event.text;
      } else if (block.type === "text") {
        block.text += event.text;
      }
    }
  }
  return { ...begun, content, stop_reason: ending.reason, stop_sequence: ending.sequence, usage };
}

async function* messageEvents(
  begun: MessageBody,
  events: AsyncIterable<AnswerEvent>,
): AsyncGenerator<string, void> {
  const blocks = new Blocks();
  const ending = new Ending();
  try {
    for await (const event of events) {
      ending.take(event);
      const chunk = [...piecesOf(event, { begun, blocks, ending })].map(eventOf).join("");
      if (chunk !== "") {
        yield chunk;
      }
    }
  } catch (error) {
    yield eventOf(anthropicFailure(requestFailure(error)));
  }
}

interface Writing {
  readonly begun: MessageBody;
  readonly blocks: Blocks;
  readonly ending: Ending;
}

function* piecesOf(event: AnswerEvent, { begun, blocks, ending }: Writing): Generator<StreamEvent> {
  switch (event.type) {
    case "begin": {
      const usage = usageBody({
        promptTokens: event.promptTokens ?? 0,
        cachedTokens: 0,
        completionTokens: 0,
      });
      yield { type: "message_start", message: { ...begun, usage } };
      return;
    }
    case "text": {
      const type = blockType(event.kind);
      yield* blocks.open(type);
      const delta =
        type === "text"
          ? { type: "text_delta", text: event.text }
          : { type: "thinking_delta", thinking: event.text };
      yield { type: "content_block_delta", index: blocks.index, delta };
      return;
    }
    case "call": {
      const { call } = event;
      yield* blocks.open("tool_use", toolUse(call, {}));
      const delta = { type: "input_json_delta", partial_json: JSON.stringify(call.arguments) };
      yield { type: "content_block_delta", index: blocks.index, delta };
      return;
    }
    case "end":
      yield* blocks.close();
      return;
    case "usage": {
      const delta = { stop_reason: ending.reason, stop_sequence: ending.sequence };
      yield { type: "message_delta", delta, usage: usageBody(event.usage) };
      yield { type: "message_stop" };
    }
  }
}

/** The blocks of a stream: one is open at a time. */
class Blocks {
  index = -1;
  #open: AnswerBlock["type"] | undefined;

  /** Opens a block, unless one of its type is open; a call is a block of its own. */
  *open(type: AnswerBlock["type"], block?: AnswerBlock): Generator<StreamEvent> {
    if (this.#open === type && block === undefined) {
      return;
    }
    yield* this.close();
    this.#open = type;
    this.index += 1;
    yield { type: "content_block_start", index: this.index, content_block: block ?? emptyBlock(type) };
  }

  *close(): Generator<StreamEvent> {
    if (this.#open !== undefined) {
      this.#open = undefined;
      yield { type: "content_block_stop", index: this.index };
    }
  }
}

interface StreamEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** An event of the stream has its type as its name too. */
function eventOf(event: StreamEvent | ReturnType<typeof anthropicFailure>): string {
  return sseEvent(JSON.stringify(event), event.type);
}

function blockType(kind: "content" | "reasoning"): "text" | "thinking" {
  return kind === "content" ? "text" : "thinking";
}

function emptyBlock(type: AnswerBlock["type"]): AnswerBlock {
  // Thinking is not signed: what comes back is read as it is.
  return type === "thinking"
    ? { type: "thinking", thinking: "", signature: "" }
    : { type: "text", text: "", citations: null };
}

function toolUse({ name }: ToolCall, input: ToolCall["arguments"]): AnswerBlock {
  return {
    type: "tool_use",
    id: toolCallId(),
    name,
    input: { ...input },
  };
}

function usageBody({ promptTokens, cachedTokens, completionTokens }: AnswerUsage): AnthropicUsage {
  return {
    // Anthropic counts what was cached apart.
    input_tokens: promptTokens - cachedTokens,
    output_tokens: completionTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
  };
}
