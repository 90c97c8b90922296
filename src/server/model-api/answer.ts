/** What a run answers, in the terms that all APIs of models share: choices, each a text with reasoning and calls. */
import type { RunEvent } from "../../compose/run/events.ts";
import type { ChatAnswer } from "../../models/chat/chat.ts";
import type { ToolCall } from "../../models/chat/messages.ts";
import type { FinishReason, GenerateResult, TokenLogprob } from "../../runtime/generation/types.ts";
import { type FailureReason, HttpError } from "../http-error.ts";
import type { Task } from "../task.ts";
import type { Question } from "./ask.ts";

/** Numbers of tokens. A prompt counts once, however many texts answer it. */
export interface AnswerUsage {
  readonly promptTokens: number;
  /** Those of the prompts that did not have to be read. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** A piece of an answer; `choice` says of which text. */
export type AnswerEvent =
  /** The prompt has been accepted, and is being read. */
  | {
      readonly type: "begin";
      /** Number of the prompt's tokens, where it is known by then. */
      readonly promptTokens?: number;
    }
  | {
      readonly type: "text";
      readonly choice: number;
      readonly kind: "content" | "reasoning";
      readonly text: string;
      /** Log-probabilities of its tokens, where they are asked for. */
      readonly logprobs?: readonly TokenLogprob[];
    }
  | { readonly type: "call"; readonly choice: number; readonly call: ToolCall }
  | {
      readonly type: "end";
      readonly choice: number;
      readonly finish: FinishReason;
      /** The stop string that ended the text, where it is known. */
      readonly stopString?: string;
    }
  /** The last event. */
  | { readonly type: "usage"; readonly usage: AnswerUsage };

/** One text of an answer. */
export interface Choice {
  content: string;
  reasoning: string;
  calls: ToolCall[];
  /** Log-probabilities of the tokens, where they are asked for. */
  logprobs?: TokenLogprob[];
  finish: FinishReason;
  stopString?: string;
}

/**
 * Tells what a task answers, from its beginning on. Ends early when the signal fires.
 *
 * @throws HttpError when the run fails or is cancelled
 */
export async function* answerEvents(
  task: Task,
  { model, subject, settings }: Pick<Question, "model" | "subject" | "settings">,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent, void> {
  const isList = subject.kind === "prompt" && typeof subject.prompt !== "string";
  const prompts = isList ? subject.prompt.length : 1;
  const reader = model.kind === "component" ? new TextReader(prompts) : new OutputReader(task);
  let hasBegun = false;
  for await (const batch of task.log?.read(signal) ?? []) {
    for (const event of batch) {
      const answers = reader.take(event);
      if (!hasBegun && (answers.length > 0 || event.type === "prefill" || event.type === "text")) {
        hasBegun = true;
        yield { type: "begin", promptTokens: event.type === "prefill" ? event.total : undefined };
      }
      yield* answers;
    }
  }
  if (signal.aborted) {
    return;
  }
  const form = settings.find(({ parameter }) => FORMS.includes(parameter))?.field;
  requireCompleted(task, { subject: subject.kind === "prompt" ? "prompt" : "messages", form });
  if (!hasBegun) {
    yield { type: "begin" };
  }
  yield* reader.finish();
  yield { type: "usage", usage: reader.usage };
}

/** All choices and the usage of an answer. */
export async function wholeAnswer(
  events: AsyncIterable<AnswerEvent>,
): Promise<{ choices: Choice[]; usage: AnswerUsage }> {
  const choices: Choice[] = [];
  let usage: AnswerUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for await (const event of events) {
    if (event.type === "usage") {
      usage = event.usage;
    }
    if (event.type === "usage" || event.type === "begin") {
      continue;
    }
    const choice = (choices[event.choice] ??= { content: "", reasoning: "", calls: [], finish: "eos" });
    if (event.type === "text") {
      choice[event.kind] += event.text;
      if (event.logprobs !== undefined) {
        (choice.logprobs ??= []).push(...event.logprobs);
      }
    } else if (event.type === "call") {
      choice.calls.push(event.call);
    } else {
      choice.finish = event.finish;
      choice.stopString = event.stopString;
    }
  }
  return { choices, usage };
}

/** The parameters that hold an answer to a form. */
const FORMS: readonly string[] = ["json_schema", "json_object", "regex", "choice"];

/**
 * @param fields.subject the field with what the answer is to
 * @param fields.form the one that holds it to a form
 */
function requireCompleted(
  task: Task,
  { subject, form }: { readonly subject: string; readonly form: string | undefined },
): void {
  const { status, failure, cancelReason } = task;
  if (status === "completed") {
    return;
  }
  if (failure !== undefined) {
    const { detail, reason, headers } = failure;
    const fields: Partial<Record<FailureReason, string>> = {
      "context-exceeded": subject,
      "no-such-form": form,
      "wrong-tools": "tools",
      "wrong-tool-choice": "tool_choice",
    };
    const field = failure.field ?? (reason && fields[reason]);
    throw new HttpError(failure.status, detail, { field, reason, headers });
  }
  throw cancelReason === "shutdown"
    ? new HttpError(503, "The server is shutting down.")
    : new HttpError(409, `The run was cancelled; its task is ${task.id}.`);
}

/** Reads the texts of a component's run. They may be written side by side, but for those of beam searches. */
class TextReader {
  readonly #prompts: number;
  /** Sequences beyond the first of the beam searches that have ended: each is a choice more. */
  #others = 0;
  #texts = 0;
  #promptTokens = 0;
  #cachedTokens = 0;
  #completionTokens = 0;

  constructor(prompts: number) {
    this.#prompts = prompts;
  }

  get usage(): AnswerUsage {
    // Every prompt has as many texts.
    const texts = Math.max(1, this.#texts / this.#prompts);
    return {
      promptTokens: this.#promptTokens / texts,
      // The first text of a prompt may have to read what the others do not.
      cachedTokens: Math.floor(this.#cachedTokens / texts),
      completionTokens: this.#completionTokens,
    };
  }

  take(event: RunEvent): AnswerEvent[] {
    if (event.type !== "text" && event.type !== "generation-ended") {
      return [];
    }
    const choice = this.#others + event.generation;
    if (event.type === "text") {
      const { text, kind = "content", toolCall, logprobs } = event;
      if (kind === "tool-call") {
        return toolCall === undefined ? [] : [{ type: "call", choice, call: toolCall }];
      }
      return [{ type: "text", choice, kind, text, ...(logprobs === undefined ? {} : { logprobs }) }];
    }
    if (event.record === undefined) {
      return [];
    }
    const { result } = event.record;
    const [, ...others] = result.sequences ?? [result];
    this.#texts += 1;
    this.#promptTokens += result.usage.promptTokens;
    this.#completionTokens += result.usage.completionTokens;
    this.#cachedTokens += result.usage.cachedTokens ?? 0;
    this.#others += others.length;
    return [
      { type: "end", choice, finish: result.finishReason, stopString: result.stopString },
      // Of a beam search the first sequence alone comes as events.
      ...others.flatMap((other, i) => wholeChoice(other, choice + 1 + i)),
    ];
  }

  finish(): AnswerEvent[] {
    return [];
  }
}

function wholeChoice(
  sequence: Pick<GenerateResult, "newText" | "finishReason"> & Partial<ChatAnswer>,
  choice: number,
): AnswerEvent[] {
  const { newText, content = newText, reasoning = "", toolCalls = [], finishReason } = sequence;
  const texts = [["reasoning", reasoning] as const, ["content", content] as const];
  return [
    ...texts
      .filter(([, text]) => text !== "")
      .map(([kind, text]) => ({ type: "text", choice, kind, text }) as const),
    ...toolCalls.map((call) => ({ type: "call", choice, call }) as const),
    { type: "end", choice, finish: finishReason },
  ];
}

/** Reads the output of a workflow's run: its pieces where it streams, else the whole of it. */
class OutputReader {
  readonly #task: Task;
  #streams = false;

  constructor(task: Task) {
    this.#task = task;
  }

  get usage(): AnswerUsage {
    const usage = this.#task.summary?.usage;
    return {
      promptTokens: usage?.prompt_tokens ?? 0,
      cachedTokens: usage?.cached_tokens ?? 0,
      completionTokens: usage?.completion_tokens ?? 0,
    };
  }

  take(event: RunEvent): AnswerEvent[] {
    if (event.type !== "output") {
      return [];
    }
    this.#streams = true;
    const text = outputText(event.value);
    return text === "" ? [] : [{ type: "text", choice: 0, kind: "content", text }];
  }

  finish(): AnswerEvent[] {
    const text = this.#streams ? "" : outputText(this.#task.output?.value);
    const finish = this.#task.summary?.finish_reason ?? "eos";
    return [
      ...(text === "" ? [] : [{ type: "text", choice: 0, kind: "content", text } as const]),
      { type: "end", choice: 0, finish },
    ];
  }
}

/** An output as a text: a text as it is, so also the only value of an object; anything else as JSON. */
function outputText(value: unknown): string {
  if (typeof value === "string") {
    return value;
  }
  if (value === null || value === undefined) {
    return "";
  }
  const values = typeof value === "object" && !Array.isArray(value) ? Object.values(value) : [];
  return values.length === 1 && typeof values[0] === "string" ? values[0] : JSON.stringify(value);
}
