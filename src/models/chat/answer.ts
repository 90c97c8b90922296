/** Tells apart what a model wrote in a conversation: its reasoning, its answer and its calls of tools, by their tags. */
import { isJsonObject } from "../../base/json.ts";
import type { ToolCall } from "./messages.ts";

/** The text that opens and the text that closes a part. */
export type Tags = readonly [open: string, close: string];

/** The tags around reasoning of SmolLM3, and of most models that reason. */
export const REASONING_TAGS: Tags = ["<think>", "</think>"];
/** The tags around a call of SmolLM3, and of most models that call tools. */
export const TOOL_CALL_TAGS: Tags = ["<tool_call>", "</tool_call>"];

/** A piece of an answer. */
export type AnswerPiece =
  | { readonly type: "reasoning" | "content"; readonly text: string }
  /** `text` is the call as the model wrote it, without the tags. */
  | { readonly type: "tool-call"; readonly text: string; readonly toolCall: ToolCall };

/** How a model writes an answer. */
export interface AnswerFormat {
  /** The tags around reasoning. Absent: nothing is reasoning. */
  readonly reasoning?: Tags;
  /** The tags around calls. Absent: what looks like a call is content. */
  readonly toolCalls?: Tags;
  /** Whether the prompt ends inside of the reasoning, so that the model writes the closing tag only. */
  readonly startsInReasoning?: boolean;
}

type State = "start" | "reasoning" | "answer" | "content" | "call";

/**
 * Splits a text that comes in pieces; tags may lie across their borders. Reasoning is what stands between its tags at
 * the very beginning: a tag later on is content, as in an answer about tags. White space next to tags belongs to no
 * part. A call whose JSON cannot be read is content.
 */
export class AnswerParser {
  readonly #format: AnswerFormat;
  #state: State;
  #buffer = "";
  #hasReasoned = false;

  constructor(format: AnswerFormat) {
    const { reasoning, toolCalls } = format;
    this.#format = {
      ...format,
      reasoning: reasoning && bare(reasoning),
      toolCalls: toolCalls && bare(toolCalls),
    };
    const isOpen = format.reasoning !== undefined && format.startsInReasoning === true;
    this.#state = isOpen ? "reasoning" : format.reasoning === undefined ? "content" : "start";
  }

  /** Takes the next piece of text and returns what is certain by now. */
  push(text: string): AnswerPiece[] {
    this.#buffer += text;
    const pieces: AnswerPiece[] = [];
    let state: State;
    do {
      state = this.#state;
      this.#step(pieces);
    } while (state !== this.#state);
    return pieces;
  }

  /** The pieces that were held back when the text ends: they are no tag. */
  finish(): AnswerPiece[] {
    const pieces: AnswerPiece[] = [];
    const rest = this.#buffer;
    this.#buffer = "";
    if (this.#state === "reasoning") {
      this.#emit("reasoning", rest.trimEnd(), pieces);
    } else if (this.#state === "call") {
      this.#call(rest, "", pieces);
    } else if (this.#state === "answer") {
      this.#emit("content", rest.trimStart(), pieces);
    } else if (this.#state === "start") {
      this.#emit("content", rest, pieces);
    } else {
      this.#emit("content", this.#format.toolCalls === undefined ? rest : rest.trimEnd(), pieces);
    }
    return pieces;
  }

  #step(pieces: AnswerPiece[]): void {
    switch (this.#state) {
      case "start":
        this.#start();
        return;
      case "reasoning":
        this.#reasoning(pieces);
        return;
      case "answer":
        this.#buffer = this.#buffer.trimStart();
        if (this.#buffer !== "") {
          this.#state = "content";
        }
        return;
      case "content":
        this.#content(pieces);
        return;
      case "call": {
        const [, close] = this.#format.toolCalls ?? TOOL_CALL_TAGS;
        const body = this.#takeBefore(close);
        if (body === undefined) {
          return;
        }
        this.#call(body, close, pieces);
        this.#state = "content";
      }
    }
  }

  #start(): void {
    const [open] = this.#format.reasoning ?? REASONING_TAGS;
    const text = this.#buffer.trimStart();
    if (text.startsWith(open)) {
      this.#buffer = text.slice(open.length).trimStart();
      this.#state = "reasoning";
    } else if (!open.startsWith(text)) {
      this.#state = "content";
    }
  }

  #reasoning(pieces: AnswerPiece[]): void {
    const [, close] = this.#format.reasoning ?? REASONING_TAGS;
    if (!this.#hasReasoned) {
      this.#buffer = this.#buffer.trimStart();
    }
    const whole = this.#takeBefore(close);
    if (whole !== undefined) {
      this.#emit("reasoning", whole.trimEnd(), pieces);
      this.#state = "answer";
    } else {
      this.#emit("reasoning", this.#takeCertain(close), pieces);
    }
  }

  #content(pieces: AnswerPiece[]): void {
    const { toolCalls } = this.#format;
    if (toolCalls === undefined) {
      this.#emit("content", this.#buffer, pieces);
      this.#buffer = "";
      return;
    }
    const before = this.#takeBefore(toolCalls[0]);
    if (before === undefined) {
      this.#emit("content", this.#takeCertain(toolCalls[0]), pieces);
      return;
    }
    this.#emit("content", before.trimEnd(), pieces);
    this.#state = "call";
  }

  #call(body: string, close: string, pieces: AnswerPiece[]): void {
    const toolCall = readToolCall(body);
    const [open] = this.#format.toolCalls ?? TOOL_CALL_TAGS;
    if (toolCall === undefined) {
      this.#emit("content", open + body + close, pieces);
    } else {
      pieces.push({ type: "tool-call", text: body.trim(), toolCall });
    }
  }

  /** The buffer up to a tag, which is taken with it; undefined when it has no such tag. */
  #takeBefore(tag: string): string | undefined {
    const at = this.#buffer.indexOf(tag);
    if (at < 0) {
      return undefined;
    }
    const before = this.#buffer.slice(0, at);
    this.#buffer = this.#buffer.slice(at + tag.length);
    return before;
  }

  /** The buffer without its end that may still become white space and a tag. */
  #takeCertain(tag: string): string {
    const text = this.#buffer;
    let held = Math.min(tag.length - 1, text.length);
    while (held > 0 && !text.endsWith(tag.slice(0, held))) {
      held--;
    }
    const certain = text.slice(0, text.length - held).trimEnd();
    this.#buffer = text.slice(certain.length);
    return certain;
  }

  #emit(type: "reasoning" | "content", text: string, pieces: AnswerPiece[]): void {
    if (text === "") {
      return;
    }
    if (type === "reasoning") {
      this.#hasReasoned = true;
    }
    pieces.push({ type, text });
  }
}

/** Tags without the white space around them, which belongs to no part of an answer. */
function bare([open, close]: Tags): Tags {
  return [open.trim(), close.trim()];
}

/** Reads `{"name": …, "arguments": {…}}`; models also write "parameters", and arguments as a JSON text. */
function readToolCall(text: string): ToolCall | undefined {
  const call = parseJson(text);
  if (!isJsonObject(call) || typeof call.name !== "string" || call.name === "") {
    return undefined;
  }
  const given = call.arguments ?? call.parameters ?? {};
  const parsed = typeof given === "string" ? parseJson(given) : given;
  return isJsonObject(parsed) ? { name: call.name, arguments: parsed } : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
