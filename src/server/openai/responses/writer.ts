/** Writes responses: the same events make a stream and a whole. */
import { randomUUID } from "node:crypto";
import type { ToolCall } from "../../../models/chat/messages.ts";
import { requestFailure } from "../../http-error.ts";
import { toolCallId } from "../../../models/chat/tool-call-id.ts";
import type { AnswerEvent, AnswerUsage } from "../../model-api/answer.ts";
import type { AnswerWriter } from "../../model-api/respond.ts";
import { sseEvent } from "../../sse.ts";
import { openAiFailure } from "../failures.ts";
import type { OutputItem, ResponseBody } from "./bodies.ts";
import { tokenLogprobs, type TokenLogprobsBody } from "../logprobs.ts";
import type { ResponsesRequest } from "./requests.ts";

/** An event of a stream, without its number. */
interface StreamEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Writes the response to a request. */
export function responseWriter(request: ResponsesRequest): AnswerWriter {
  const made = new ResponseInMaking(request);
  return {
    whole: async (events) => {
      for await (const event of events) {
        // The events of the stream are for nobody; what they make is the response.
        Array.from(made.take(event));
      }
      return made.body;
    },
    ...(request.stream === true && { stream: (events) => streamOf(made, events) }),
  };
}

async function* streamOf(
  made: ResponseInMaking,
  events: AsyncIterable<AnswerEvent>,
): AsyncGenerator<string, void> {
  let number = 0;
  const write = (parts: Iterable<StreamEvent>): string =>
    [...parts]
      .map((part) => sseEvent(JSON.stringify({ ...part, sequence_number: number++ }), part.type))
      .join("");
  try {
    for await (const event of events) {
      const chunk = write(made.take(event));
      if (chunk !== "") {
        yield chunk;
      }
    }
  } catch (error) {
    yield write(made.fail(error));
  }
  yield sseEvent("[DONE]");
}

/** A response and the events that tell of it. */
class ResponseInMaking {
  #body: ResponseBody;
  readonly #output: OutputItem[] = [];
  /** Whether the last item may still grow. */
  #isOpen = false;
  #isCut = false;

  constructor(request: ResponsesRequest) {
    this.#body = begun(request);
  }

  get body(): ResponseBody {
    return { ...this.#body, output: [...this.#output] };
  }

  *take(event: AnswerEvent): Generator<StreamEvent> {
    switch (event.type) {
      case "begin":
        yield { type: "response.created", response: this.body };
        yield { type: "response.in_progress", response: this.body };
        return;
      case "text":
        yield* this.#text(
          event.kind === "content" ? "message" : "reasoning",
          event.text,
          tokenLogprobs(event.logprobs ?? []),
        );
        return;
      case "call":
        yield* this.#call(event.call);
        return;
      case "end":
        this.#isCut = event.finish === "length" || event.finish === "context";
        yield* this.#close();
        return;
      case "usage": {
        this.#body = {
          ...this.#body,
          status: this.#isCut ? "incomplete" : "completed",
          incomplete_details: this.#isCut ? { reason: "max_output_tokens" } : null,
          completed_at: now(),
          usage: usageBody(event.usage),
        };
        yield { type: `response.${this.#body.status}`, response: this.body };
      }
    }
  }

  /** The end of a response that could not be finished. */
  *fail(error: unknown): Generator<StreamEvent> {
    const { error: failure } = openAiFailure(requestFailure(error));
    const { code, type, message } = failure;
    this.#body = { ...this.#body, status: "failed", error: { code: code ?? type, message } };
    yield { type: "response.failed", response: this.body };
  }

  *#text(type: "message" | "reasoning", text: string, logprobs: TokenLogprobsBody[]): Generator<StreamEvent> {
    const last = this.#output.at(-1);
    if (!this.#isOpen || last?.type !== type) {
      yield* this.#close();
      yield* this.#open(emptyItem(type));
      yield { ...this.#place(), type: "response.content_part.added", part: emptyPart(type) };
    }
    const item = this.#output.at(-1);
    if (item?.type === "message" || item?.type === "reasoning") {
      const [part] = item.content;
      if (part !== undefined) {
        part.text += text;
      }
      if (part?.type === "output_text") {
        part.logprobs.push(...logprobs);
      }
    }
    const told = type === "message" ? { logprobs } : {};
    yield { ...this.#place(), type: `${textEvent(type)}.delta`, delta: text, ...told };
  }

  *#call({ name, arguments: given }: ToolCall): Generator<StreamEvent> {
    yield* this.#close();
    const id = idOf("fc");
    const call = { type: "function_call", id, call_id: toolCallId(), name } as const;
    const written = JSON.stringify(given);
    yield* this.#open({ ...call, status: "in_progress", arguments: "" });
    const place = { item_id: id, output_index: this.#output.length - 1 };
    this.#output[this.#output.length - 1] = { ...call, status: "in_progress", arguments: written };
    yield { type: "response.function_call_arguments.delta", ...place, delta: written };
    yield { type: "response.function_call_arguments.done", ...place, name, arguments: written };
    yield* this.#close();
  }

  *#open(item: OutputItem): Generator<StreamEvent> {
    this.#isOpen = true;
    const output_index = this.#output.length;
    yield {
      type: "response.output_item.added",
      output_index,
      item: "content" in item ? { ...item, content: [] } : item,
    };
    this.#output.push(item);
  }

  *#close(): Generator<StreamEvent> {
    const item = this.#output.at(-1);
    if (!this.#isOpen || item === undefined) {
      return;
    }
    this.#isOpen = false;
    if (item.type !== "function_call") {
      const [part] = item.content;
      const text = part?.text ?? "";
      const told = part?.type === "output_text" ? { logprobs: part.logprobs } : {};
      yield { ...this.#place(), type: `${textEvent(item.type)}.done`, text, ...told };
      yield { ...this.#place(), type: "response.content_part.done", part: { ...part } };
    }
    const done: OutputItem = { ...item, status: this.#isCut ? "incomplete" : "completed" };
    this.#output[this.#output.length - 1] = done;
    yield { type: "response.output_item.done", output_index: this.#output.length - 1, item: done };
  }

  /** Where the last item's only part is. */
  #place(): { item_id: string; output_index: number; content_index: number } {
    return {
      item_id: this.#output.at(-1)?.id ?? "",
      output_index: this.#output.length - 1,
      content_index: 0,
    };
  }
}

function begun(request: ResponsesRequest): ResponseBody {
  return {
    id: idOf("resp"),
    object: "response",
    created_at: now(),
    completed_at: null,
    status: "in_progress",
    incomplete_details: null,
    error: null,
    model: request.model,
    output: [],
    usage: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: request.metadata ?? {},
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: null,
    store: false,
    background: false,
    temperature: request.temperature ?? null,
    top_p: request.top_p ?? null,
    frequency_penalty: request.frequency_penalty ?? 0,
    presence_penalty: request.presence_penalty ?? 0,
    top_logprobs: request.top_logprobs ?? 0,
    text: { format: request.text?.format ?? { type: "text" } },
    tool_choice: request.tool_choice ?? "auto",
    tools: request.tools ?? [],
    truncation: "disabled",
    service_tier: "default",
    safety_identifier: null,
    prompt_cache_key: null,
  };
}

function textEvent(type: "message" | "reasoning"): string {
  return type === "message" ? "response.output_text" : "response.reasoning_text";
}

function emptyPart(type: "message" | "reasoning"): object {
  return type === "message"
    ? { type: "output_text", text: "", annotations: [], logprobs: [] }
    : { type: "reasoning_text", text: "" };
}

function emptyItem(type: "message" | "reasoning"): OutputItem {
  if (type === "reasoning") {
    const content = [{ type: "reasoning_text" as const, text: "" }];
    return { type, id: idOf("rs"), status: "in_progress", summary: [], content };
  }
  const content = [{ type: "output_text" as const, text: "", annotations: [], logprobs: [] }];
  return { type, id: idOf("msg"), status: "in_progress", role: "assistant", content };
}

function idOf(prefix: string): string {
  return `${prefix}_${randomUUID().replaceAll("-", "")}`;
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function usageBody({
  promptTokens,
  cachedTokens,
  completionTokens,
}: AnswerUsage): NonNullable<ResponseBody["usage"]> {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    // Reasoning is told apart by its text, not by its tokens.
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
