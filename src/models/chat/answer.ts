/** Tells apart what a model wrote in a conversation: its reasoning, its answer and its calls of tools, by their tags. */
import type { ToolCall } from "./messages.ts";
import { beginsLikeCalls, readBareCalls, readToolCall } from "./read-calls.ts";

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
  /** Names of the tools that an answer may call which is JSON without tags. Absent: such an answer is content. */
  readonly bareCalls?: ReadonlySet<string>;
  /** Whether the prompt ends inside of the reasoning, so that the model writes the closing tag only. */
  readonly startsInReasoning?: boolean;
}

type State = "start" | "reasoning" | "answer" | "opening" | "content" | "call" | "calls";

/**
 * Splits a text that comes in pieces; tags may lie across their borders. Reasoning is what stands between its tags at
 * the very beginning: a tag later on is content, as in an answer about tags. White space next to tags belongs to no
 * part. A call whose JSON cannot be read is content; so is an answer that begins like calls without tags and is none.
 */
export class AnswerParser {
  readonly #format: AnswerFormat;
  #state: State;
  /** What has been looked at and waits. */
  readonly #held = new HeldText();
  /** What comes behind it: the end of the text, at most a piece and the beginning of a tag. */
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
    this.#state = isOpen ? "reasoning" : format.reasoning === undefined ? this.#contentState : "start";
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
    const rest = this.#held.take() + this.#buffer;
    this.#buffer = "";
    if (this.#state === "reasoning") {
      this.#emit("reasoning", rest.trimEnd(), pieces);
    } else if (this.#state === "call") {
      this.#call(rest, "", pieces);
    } else if (this.#state === "calls") {
      this.#bareCalls(rest, pieces);
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
    const { toolCalls } = this.#format;
    switch (this.#state) {
      case "start":
        this.#start();
        return;
      case "reasoning":
        if (!this.#hasReasoned) {
          this.#buffer = this.#buffer.trimStart();
        }
        if (this.#untilTag("reasoning", (this.#format.reasoning ?? REASONING_TAGS)[1], pieces)) {
          this.#state = "answer";
        }
        return;
      case "answer":
        this.#buffer = this.#buffer.trimStart();
        if (this.#buffer !== "") {
          this.#state = this.#contentState;
        }
        return;
      case "opening":
        this.#opening();
        return;
      case "calls":
        this.#held.add(this.#buffer);
        this.#buffer = "";
        return;
      case "content":
        if (toolCalls === undefined) {
          this.#emit("content", this.#held.take() + this.#buffer, pieces);
          this.#buffer = "";
        } else if (this.#untilTag("content", toolCalls[0], pieces)) {
          this.#state = "call";
        }
        return;
      case "call": {
        const [, close] = toolCalls ?? TOOL_CALL_TAGS;
        const body = this.#takeBefore(close);
        if (body === undefined) {
          return;
        }
        this.#call(body, close, pieces);
        this.#state = "content";
      }
    }
  }

  /** Looks whether the text begins with reasoning. White space before anything else waits. */
  #start(): void {
    const [open] = this.#format.reasoning ?? REASONING_TAGS;
    const text = this.#buffer.trimStart();
    this.#held.add(this.#buffer.slice(0, this.#buffer.length - text.length));
    this.#buffer = text;
    if (text.startsWith(open)) {
      this.#held.take();
      this.#buffer = text.slice(open.length);
      this.#state = "reasoning";
    } else if (!open.startsWith(text)) {
      // White space that waits belongs to what comes now.
      this.#buffer = this.#held.take() + text;
      this.#state = this.#contentState;
    }
  }

  /** What an answer without reasoning, or behind it, begins with. */
  get #contentState(): State {
    return this.#format.bareCalls === undefined ? "content" : "opening";
  }

  /** Looks whether the answer begins like calls without tags: those are told apart when all is there. */
  #opening(): void {
    const likeness = beginsLikeCalls(this.#buffer);
    if (likeness !== "maybe") {
      this.#state = likeness === "yes" ? "calls" : "content";
    }
  }

  #bareCalls(text: string, pieces: AnswerPiece[]): void {
    const calls = readBareCalls(text, this.#format.bareCalls ?? new Set());
    if (calls === undefined) {
      this.#emit("content", text, pieces);
      return;
    }
    pieces.push(
      ...calls.map((toolCall) => ({ type: "tool-call", text: JSON.stringify(toolCall), toolCall }) as const),
    );
  }

  /**
   * Emits what stands before a tag. White space waits for what comes behind it: before a tag it belongs to no part.
   *
   * @returns whether the tag has come; it is taken
   */
  #untilTag(type: "reasoning" | "content", tag: string, pieces: AnswerPiece[]): boolean {
    const at = this.#buffer.indexOf(tag);
    const end = at < 0 ? this.#buffer.length - beginOf(tag, this.#buffer) : at;
    const text = this.#buffer.slice(0, end);
    const certain = text.trimEnd();
    if (certain !== "") {
      this.#emit(type, this.#held.take() + certain, pieces);
    }
    if (at < 0) {
      this.#held.add(text.slice(certain.length));
      this.#buffer = this.#buffer.slice(end);
      return false;
    }
    this.#held.take();
    this.#buffer = this.#buffer.slice(at + tag.length);
    return true;
  }

  /** All text up to a tag, which is taken with it; undefined when there is no such tag yet. */
  #takeBefore(tag: string): string | undefined {
    const at = this.#buffer.indexOf(tag);
    if (at < 0) {
      // Only the last characters can still become a part of the tag.
      const end = Math.max(0, this.#buffer.length - tag.length + 1);
      this.#held.add(this.#buffer.slice(0, end));
      this.#buffer = this.#buffer.slice(end);
      return undefined;
    }
    const before = this.#held.take() + this.#buffer.slice(0, at);
    this.#buffer = this.#buffer.slice(at + tag.length);
    return before;
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

/** Text that is put together once, when it is taken: a string that grows and is read at every piece costs its square. */
class HeldText {
  #parts: string[] = [];

  add(text: string): void {
    if (text !== "") {
      this.#parts.push(text);
    }
  }

  take(): string {
    const text = this.#parts.join("");
    this.#parts = [];
    return text;
  }
}

/** How many characters at the end of a text may be the beginning of a tag. */
function beginOf(tag: string, text: string): number {
  let count = Math.min(tag.length - 1, text.length);
  while (count > 0 && !text.endsWith(tag.slice(0, count))) {
    count--;
  }
  return count;
}

/** Tags without the white space around them, which belongs to no part of an answer. */
export function bare([open, close]: Tags): Tags {
  return [open.trim(), close.trim()];
}
