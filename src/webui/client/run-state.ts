/** One run as the page shows it, built from the task's events. Knows no page. */
import { RateMeter } from "./rate-meter.ts";
import type {
  WireEvent,
  WireLogprob,
  WireProgress,
  WireTask,
  WireToolCall,
  WireWritingModel,
} from "./wire.ts";

/** A text that a model is writing. */
export interface LiveText {
  readonly generation: number;
  /** What the model thinks before it answers. */
  reasoning?: string;
  text: string;
  /** Functions that the model calls. */
  toolCalls?: WireToolCall[];
  /** The tokens of the answer with how likely they were, where the run asks for that. */
  logprobs?: WireLogprob[];
}

/** Why a run did not complete. */
export interface RunError {
  readonly message: string;
  /** Name of the form's field that is at fault. */
  readonly field?: string;
}

const ENDED: readonly WireTask["status"][] = ["completed", "failed", "cancelled"];

/** The state of one run. */
export class RunState {
  status: WireTask["status"] = "pending";
  progress: WireProgress | undefined;
  /** The texts, in the order in which they began. */
  readonly texts: LiveText[] = [];
  readonly warnings: string[] = [];
  error: RunError | undefined;
  /** The output; present when the run has completed. */
  output: { readonly value: unknown } | undefined;
  seeds: readonly number[] = [];
  /** Number of tokens written; undefined while nobody has counted any. */
  tokens: number | undefined;
  /** The models that write the texts; known when they have ended. */
  models: readonly WireWritingModel[] = [];
  /** The answer to a conversation, once the run has completed. */
  message: WireTask["message"];
  usage: WireTask["usage"];
  finishReason: WireTask["finish_reason"];
  readonly #rate = new RateMeter();
  readonly #startedAt: number;
  #firstTextAt: number | undefined;
  #endedAt: number | undefined;
  /** Tokens per second as the server measured them, once the run has ended. */
  #finalRate: number | undefined;

  /** @param now milliseconds, on the clock of all other calls */
  constructor(now: number) {
    this.#startedAt = now;
  }

  get ended(): boolean {
    return this.#endedAt !== undefined;
  }

  seconds(now: number): number {
    return ((this.#endedAt ?? now) - this.#startedAt) / 1000;
  }

  /** Tokens per second: of the last seconds while the run goes on, of the whole text after it. */
  tokensPerSecond(now: number): number | undefined {
    if (this.#endedAt === undefined) {
      return this.#rate.rate(now);
    }
    if (this.#finalRate !== undefined) {
      return this.#finalRate > 0 ? this.#finalRate : undefined;
    }
    if (this.tokens === undefined || this.#firstTextAt === undefined) {
      return undefined;
    }
    const seconds = (this.#endedAt - this.#firstTextAt) / 1000;
    return seconds > 0 ? (this.tokens - 1) / seconds : undefined;
  }

  /** What goes on in the run, in words. */
  activity(): string {
    switch (this.status) {
      case "pending":
        return "Waiting for its turn";
      case "processing":
        return this.progress === undefined ? "Running" : progressText(this.progress);
      case "cancelling":
        return "Stopping";
      case "completed":
        return "Done";
      case "failed":
        return "Failed";
      case "cancelled":
        return "Stopped";
    }
  }

  apply({ type, data }: WireEvent, now: number): void {
    if (this.ended) {
      return;
    }
    switch (type) {
      case "state":
        this.#applyTask(data, now);
        return;
      case "progress":
        this.#begin();
        this.progress = data.done < data.total ? data : undefined;
        return;
      case "text": {
        this.#begin();
        this.progress = undefined;
        this.#firstTextAt ??= now;
        const text = this.#textOf(data.generation);
        if (data.kind === "reasoning") {
          text.reasoning = (text.reasoning ?? "") + data.text;
        } else if (data.kind === undefined) {
          text.text += data.text;
          if (data.logprobs !== undefined) {
            (text.logprobs ??= []).push(...data.logprobs);
          }
        } else if (data.tool_call !== undefined) {
          (text.toolCalls ??= []).push(data.tool_call);
        }
        if (data.tokens > 0) {
          this.tokens = (this.tokens ?? 0) + data.tokens;
        }
        this.#rate.add(data.tokens, now);
        return;
      }
      case "warning":
        this.#warn(data.message);
        return;
      case "result":
      case "error":
        this.#applyTask(data, now);
        return;
    }
  }

  /** Ends the run for a reason that is not an event: it was refused, or the server is gone. */
  fail(error: RunError, now: number): void {
    if (this.ended) {
      return;
    }
    this.error = error;
    this.#end("failed", now);
  }

  /** Forgets the texts, because the events come again from the first one. */
  restart(): void {
    this.texts.length = 0;
    this.tokens = undefined;
    this.progress = undefined;
    this.#rate.reset();
  }

  #applyTask(task: WireTask, now: number): void {
    for (const warning of task.warnings ?? []) {
      this.#warn(warning);
    }
    if (task.seed !== undefined) {
      this.seeds = [task.seed].flat();
    }
    this.models = task.models ?? this.models;
    this.message = task.message;
    this.usage = task.usage;
    this.finishReason = task.finish_reason;
    this.#finalRate = task.timings?.decode_tokens_per_second;
    this.tokens = task.usage?.completion_tokens ?? this.tokens;
    if (task.status === "failed") {
      this.error = { message: task.error ?? "The run failed.", field: task.field };
    }
    if (task.status === "completed") {
      this.output = { value: task.output ?? null };
    }
    if (ENDED.includes(task.status)) {
      this.#end(task.status, now);
    } else {
      this.status = task.status;
    }
  }

  #begin(): void {
    if (this.status === "pending") {
      this.status = "processing";
    }
  }

  #end(status: WireTask["status"], now: number): void {
    this.status = status;
    this.progress = undefined;
    this.#endedAt = now;
  }

  #warn(message: string): void {
    if (!this.warnings.includes(message)) {
      this.warnings.push(message);
    }
  }

  #textOf(generation: number): LiveText {
    let text = this.texts.find((one) => one.generation === generation);
    if (text === undefined) {
      this.texts.push((text = { generation, text: "" }));
    }
    return text;
  }
}

const STAGES: Readonly<Record<WireProgress["stage"], string>> = {
  config: "Loading the model: reading its configuration",
  download: "Fetching the model from the hub",
  memory: "Waiting for memory that other models have in use",
  tokenizer: "Loading the model: reading its tokenizer",
  weights: "Loading the model: reading its weights",
  compile: "Loading the model: compiling",
  ready: "Loading the model: nearly ready",
  prefill: "Reading the prompt",
};

/** How far something is, in words: "Reading the prompt, 45 %". */
export function progressText({ stage, done, total }: WireProgress): string {
  const words = STAGES[stage];
  return total > 0 && stage !== "ready" && stage !== "memory"
    ? `${words}, ${Math.floor((100 * done) / total)} %`
    : words;
}
