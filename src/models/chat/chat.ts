/** Conversations with a model: makes a prompt of messages, and reasoning, answer and calls of tools of what it writes. */
import { ModelComposeError } from "../../base/errors.ts";
import type {
  BeamSequence,
  ConstraintOptions,
  GenerateOptions,
  GenerateResult,
  StreamPart,
  TokenLogprob,
} from "../../runtime/generation/types.ts";
import { describeJson } from "../../base/json.ts";
import type { ResolvedConstraint } from "../../runtime/generation/constraint-options.ts";
import { RenderedPrompt } from "../../runtime/generation/request.ts";
import {
  AnswerParser,
  REASONING_TAGS,
  TOOL_CALL_TAGS,
  type AnswerFormat,
  type AnswerPiece,
  type Tags,
} from "./answer.ts";
import { behindReasoning, formOfCalls, type WrittenForm } from "./call-form.ts";
import type { ChatMessage, ToolCall, ToolCallEntry } from "./messages.ts";
import {
  hasTools,
  toolNames,
  type ChatPrompts,
  type ChatTemplateOptions,
  type RenderChatOptions,
} from "./prompts.ts";
import type { ChatTemplate } from "./template.ts";
import { isToolChoice, TOOL_CHOICE_EXPECTED } from "./tool-choice.ts";

export type { ChatTemplateOptions, RenderChatOptions } from "./prompts.ts";

/** The options of an answer to a conversation: those of a generation, of the template, and the tags of its parts. */
export interface ChatOptions extends Omit<GenerateOptions, "returnFullText">, ChatTemplateOptions {
  /** The tags that enclose reasoning. Default `<think>` and `</think>`; with false, nothing is reasoning. */
  reasoningTags?: Tags | false;
  /**
   * The tags that enclose a call of a tool. Default `<tool_call>` and `</tool_call>`; where they are left out and the template
   * has none, an answer that is nothing but JSON calls of `tools` is calls (Llama 3, Mistral, Granite, Phi-4-mini).
   */
  toolCallTags?: Tags;
  /** Whether an answer may have more than one call. Default true. */
  parallelToolCalls?: boolean;
}

/** What a model wrote, told apart into its answer, reasoning and calls. */
export interface ChatAnswer {
  /** The answer, without reasoning and calls. */
  content: string;
  /** What the model thought before it answered; undefined when it did not. */
  reasoning: string | undefined;
  /** Functions to call, in the order in which the model asked for them. */
  toolCalls: ToolCall[];
  /** The message to append to the conversation before the next one. */
  message: ChatMessage;
}

/** The answer to a conversation. Its `text` and `newText` are all that the model wrote, tags included. */
export interface ChatResult extends Omit<GenerateResult, "sequences">, ChatAnswer {
  /** The `numReturnSequences` best texts of a beam search, best first. The result itself is the first. */
  sequences?: (BeamSequence & ChatAnswer)[];
}

/** A piece of an answer. The texts of one type, joined, are the result's. The last piece has `result`. */
export interface ChatPart {
  /** What the text is a part of. */
  type: "reasoning" | "content" | "tool-call";
  /** Text that is new; a call of a tool is as the model wrote it. */
  text: string;
  /** The call of a tool, where it is one. */
  toolCall?: ToolCall;
  /** Token ids that this piece completes. */
  tokens: number[];
  /** Log-probabilities of these tokens, where `logprobs` asks for them. */
  logprobs?: TokenLogprob[];
  /** All of the answer, with the last piece. */
  result?: ChatResult;
}

/** What chat needs of a model. */
export interface ChatParts {
  readonly prompts: ChatPrompts;
  /** Refuses to go on without a tokenizer. */
  readonly requireTokenizer: () => void;
  readonly generate: (prompt: RenderedPrompt, options: GenerateOptions) => Promise<GenerateResult>;
  readonly stream: (prompt: RenderedPrompt, options: GenerateOptions) => AsyncIterable<StreamPart>;
}

interface Prepared {
  readonly prompt: RenderedPrompt;
  readonly template: ChatTemplate;
  readonly format: AnswerFormat;
  readonly toolCallTags: Tags;
  readonly options: GenerateOptions;
}

/** Holds the conversations of one model. */
export class Chat {
  readonly #parts: ChatParts;

  constructor(parts: ChatParts) {
    this.#parts = parts;
  }

  /** Renders messages into the prompt as text. */
  async render(messages: readonly ChatMessage[], options: RenderChatOptions = {}): Promise<string> {
    return (await this.#parts.prompts.render(messages, options)).text;
  }

  async generate(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<ChatResult> {
    const prepared = await this.#prepare(messages, options);
    return resultOf(await this.#parts.generate(prepared.prompt, prepared.options), prepared);
  }

  async *stream(
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): AsyncGenerator<ChatPart, void, undefined> {
    const prepared = await this.#prepare(messages, options);
    const parser = new AnswerParser(prepared.format);
    let tokens: number[] = [];
    let logprobs: TokenLogprob[] = [];
    for await (const part of this.#parts.stream(prepared.prompt, prepared.options)) {
      tokens.push(...part.tokens);
      logprobs.push(...(part.logprobs ?? []));
      const pieces = parser.push(part.text);
      if (part.result !== undefined) {
        pieces.push(...parser.finish());
      }
      for (const piece of pieces) {
        yield { ...piece, tokens, ...(logprobs.length === 0 ? {} : { logprobs }) };
        tokens = [];
        logprobs = [];
      }
      if (part.result === undefined) {
        continue;
      }
      const rest = logprobs.length === 0 ? {} : { logprobs };
      yield { type: "content", text: "", tokens, ...rest, result: resultOf(part.result, prepared) };
    }
  }

  async #prepare(messages: readonly ChatMessage[], options: ChatOptions): Promise<Prepared> {
    const { reasoningTags = REASONING_TAGS, toolCallTags = TOOL_CALL_TAGS } = options;
    if (reasoningTags !== false) {
      checkTags("reasoningTags", reasoningTags);
    }
    checkTags("toolCallTags", toolCallTags);
    const prompt = await this.#parts.prompts.render(messages, options);
    this.#parts.requireTokenizer();
    const isHeld = checkHeldAnswer(options);
    const opensInReasoning =
      reasoningTags !== false && prompt.text.trimEnd().endsWith(reasoningTags[0].trim());
    // An answer that is held to a form is that and nothing else, whatever its texts spell.
    const reasoning = reasoningTags === false || (isHeld && !opensInReasoning) ? undefined : reasoningTags;
    const withTools = hasTools(options);
    // A template without the tags is of a model that writes calls in another way, unless the caller knows better.
    const hasTags = options.toolCallTags !== undefined || prompt.template.source.includes(TOOL_CALL_TAGS[0]);
    const written = {
      callTags: hasTags ? toolCallTags : undefined,
      // Not every model knows to think.
      reasoningTags:
        reasoning !== undefined && (opensInReasoning || prompt.template.source.includes(reasoning[0].trim()))
          ? reasoning
          : undefined,
      startsInReasoning: opensInReasoning,
    };
    return {
      // As in transformers, the template has written the special tokens, and none are added. Their spellings become tokens
      // wherever they stand, in a user's text too.
      prompt: new RenderedPrompt(prompt.text, {
        form: calls(options, written),
        ...(isHeld && opensInReasoning && { before: (text) => behindReasoning(text, written) }),
      }),
      template: prompt.template,
      format: {
        reasoning,
        toolCalls: withTools ? toolCallTags : undefined,
        bareCalls: !hasTags && withTools ? toolNames(options) : undefined,
        startsInReasoning: reasoning !== undefined && opensInReasoning,
      },
      toolCallTags,
      options: { ...generationOptions(options), returnFullText: false },
    };
  }
}

/**
 * What an answer must be so that its calls are what the caller asks for.
 *
 * @throws ModelComposeError "invalid-argument" for options that are none
 */
function calls(options: ChatOptions, written: WrittenForm): ResolvedConstraint | undefined {
  const { tools = [], toolChoice: choice = "auto", parallelToolCalls: isParallel = true } = options;
  if (!isToolChoice(choice)) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "toolChoice" must be ${TOOL_CHOICE_EXPECTED}; found ${describeJson(choice)}.`,
      { remedy: "Correct it.", parameter: "toolChoice" },
    );
  }
  if (typeof isParallel !== "boolean") {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "parallelToolCalls" must be true or false, found ${describeJson(isParallel)}.`,
      { remedy: "Correct it.", parameter: "parallelToolCalls" },
    );
  }
  // One call at most is no demand where there are no tools.
  if (choice === "none" || (choice === "auto" && tools.length === 0)) {
    return undefined;
  }
  return formOfCalls({ tools, choice, isParallel }, written);
}

const HELD = ["jsonSchema", "jsonObject", "regex", "choice"] as const satisfies (keyof ConstraintOptions)[];

/**
 * Whether an answer is held to a form.
 *
 * @throws ModelComposeError "invalid-argument" beside tools
 */
function checkHeldAnswer(options: ChatOptions): boolean {
  const parameter = HELD.find((name) => options[name] !== undefined && options[name] !== false);
  if (parameter === undefined) {
    return false;
  }
  if (hasTools(options)) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "${parameter}" cannot be had here: with tools, an answer may be a call of one.`,
      { remedy: "Leave one of them out.", parameter },
    );
  }
  return true;
}

function checkTags(name: string, tags: unknown): void {
  const isPair =
    Array.isArray(tags) && tags.length === 2 && tags.every((tag) => typeof tag === "string" && tag !== "");
  if (isPair) {
    return;
  }
  throw new ModelComposeError("invalid-argument", `${name} must be two texts, found ${describeJson(tags)}.`, {
    remedy: `Write for example ${JSON.stringify(REASONING_TAGS)}.`,
  });
}

const CHAT_ONLY = [
  "tools",
  "documents",
  "template",
  "templateVariables",
  "now",
  "reasoningTags",
  "toolCallTags",
  "toolChoice",
  "parallelToolCalls",
] as const satisfies readonly Exclude<keyof ChatOptions, keyof GenerateOptions>[];

function generationOptions(options: ChatOptions): GenerateOptions {
  const generation = { ...options };
  for (const name of CHAT_ONLY) {
    delete generation[name];
  }
  return generation;
}

function resultOf({ sequences, ...result }: GenerateResult, prepared: Prepared): ChatResult {
  const chat: ChatResult = { ...result, ...answerOf(result.newText, prepared) };
  if (sequences === undefined) {
    return chat;
  }
  return { ...chat, sequences: sequences.map((one) => ({ ...one, ...answerOf(one.newText, prepared) })) };
}

function answerOf(text: string, prepared: Prepared): ChatAnswer {
  const parser = new AnswerParser(prepared.format);
  const pieces = [...parser.push(text), ...parser.finish()];
  const textOf = (type: AnswerPiece["type"]): string =>
    pieces.map((piece) => (piece.type === type ? piece.text : "")).join("");
  const reasoning = textOf("reasoning");
  return {
    content: textOf("content"),
    reasoning: reasoning === "" ? undefined : reasoning,
    toolCalls: pieces.flatMap((piece) => (piece.type === "tool-call" ? [piece.toolCall] : [])),
    message: messageOf(pieces, prepared),
  };
}

/**
 * The message to append to a conversation. Where a template does not show calls, they stay in its text: else the model
 * would not see what it has done.
 */
function messageOf(
  pieces: readonly AnswerPiece[],
  { template, toolCallTags: [open, close] }: Prepared,
): ChatMessage {
  const calls: ToolCallEntry[] = [];
  let content = "";
  for (const piece of pieces) {
    if (piece.type === "content") {
      content += piece.text;
    } else if (piece.type === "tool-call" && template.showsToolCalls) {
      calls.push({ type: "function", function: piece.toolCall });
    } else if (piece.type === "tool-call") {
      content += `${content === "" ? "" : "\n"}${open}\n${piece.text}\n${close}`;
    }
  }
  return { role: "assistant", content, ...(calls.length === 0 ? {} : { tool_calls: calls }) };
}
