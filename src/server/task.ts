import { clip } from "../base/clip.ts";
import { AbortError, errorMessage, ModelComposeError } from "../base/errors.ts";
import type { RunIdentity } from "../compose/run/run.ts";
import type { ChatResult } from "../models/chat/chat.ts";
import type { ChatMessage } from "../models/chat/messages.ts";
import type { GenerateResult } from "../runtime/generation/types.ts";
import type { GenerationRecord, RunEvent, WritingModel } from "../compose/run/events.ts";
import { EventLog } from "./event-log.ts";
import { isInternal, runFailure, type Failure } from "./http-error.ts";
import { weigh, type Holding } from "./kept-bytes.ts";
import { summarize, type RunSummary } from "./run-summary.ts";

/** The stage of life that a task is in. */
export type TaskStatus = "pending" | "processing" | "cancelling" | "completed" | "failed" | "cancelled";

/** Why a task was ended before its run did. */
export type CancelReason = "request" | "disconnect" | "shutdown";

/**
 * Why a task failed, as it is kept: texts, and not the error, whose stack holds on to what its functions were called with, the
 * input among it.
 */
export interface TaskFailure extends Failure {
  readonly code: string | undefined;
  readonly message: string;
  /** Whether only a fault of the server's own explains it. */
  readonly isInternal: boolean;
}

/** The most characters that are kept of a message. */
const MESSAGE_CHARACTERS = 4000;
/** Bytes of a task without anything in it, and of an event without its text. */
const TASK_BYTES = 2000;
const EVENT_BYTES = 120;

/** One run of a workflow, from the moment it was accepted. */
export class Task {
  readonly id: string;
  readonly workflowId: string;
  readonly sessionId: string | undefined;
  readonly metadata: unknown;
  readonly createdAt = new Date();
  startedAt: Date | undefined;
  endedAt: Date | undefined;
  /** Resolves when the task has ended, whatever the end is. */
  readonly ended: Promise<void>;
  /** Number of new tokens so far. */
  tokens = 0;
  readonly warnings: string[] = [];
  /** The value that came of it; present when it has completed. */
  output: { readonly value: unknown } | undefined;
  summary: RunSummary | undefined;
  /** The last answer to a conversation, and what was thought before it; present when the run has completed. */
  message: { readonly message: ChatMessage; readonly reasoning: string | undefined } | undefined;
  /** The models that have begun texts, by their components. */
  readonly models = new Map<string, WritingModel>();
  /** Why it failed; present when it has. */
  failure: TaskFailure | undefined;
  cancelReason: CancelReason | undefined;
  #status: TaskStatus = "pending";
  #log: EventLog | undefined = new EventLog();
  /** New texts so far, in the order in which they began. */
  #texts: string[] = [];
  /** Milliseconds on a clock that does not go back. */
  #startMilliseconds = performance.now();
  #endMilliseconds: number | undefined;
  readonly #holding: Holding | undefined;
  /** About how many bytes the task keeps. */
  #bytes = TASK_BYTES;
  readonly #stop = new AbortController();
  readonly #end: () => void;

  /**
   * @param holding what the task holds of its server's memory; told as it changes
   * @param input the input, for its size
   */
  constructor(identity: RunIdentity, workflowId: string, holding?: Holding, input?: unknown) {
    this.#holding = holding;
    this.#bytes += weigh(identity.metadata) + weigh(input);
    holding?.set(this.#bytes);
    this.id = identity.taskId;
    this.sessionId = identity.sessionId;
    this.metadata = identity.metadata;
    this.workflowId = workflowId;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
  }

  get status(): TaskStatus {
    return this.#status;
  }

  get hasEnded(): boolean {
    return this.endedAt !== undefined;
  }

  /** Seconds from its start (before it: from its acceptance) to its end, or to now. */
  get seconds(): number {
    return ((this.#endMilliseconds ?? performance.now()) - this.#startMilliseconds) / 1000;
  }

  /** Lets go of the memory that it holds: it is forgotten. */
  forget(): void {
    this.#holding?.release();
  }

  /** A signal that fires when the task is cancelled. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The log of the run's events, as long as the task has not ended; readers that have begun read on to the end. */
  get log(): EventLog | undefined {
    return this.#log;
  }

  /** New text so far, several texts one below the other; empty when the task has completed. */
  get text(): string {
    return this.#texts.join("\n");
  }

  record(event: RunEvent): void {
    if (this.hasEnded) {
      return;
    }
    if (event.type === "run-started") {
      this.startedAt = new Date();
      this.#startMilliseconds = performance.now();
    }
    if (event.type === "run-started" && this.#status === "pending") {
      this.#status = "processing";
    }
    if (event.type === "generation-started") {
      this.#texts[event.generation] = "";
      if (event.model !== undefined) {
        this.models.set(event.component, event.model);
      }
    }
    if (event.type === "text") {
      this.tokens += event.tokens;
      // What a model thinks before it answers is not its answer.
      if (event.kind === undefined) {
        this.#texts[event.generation] += event.text;
      }
    }
    if (event.type === "warning") {
      this.warnings.push(event.message);
    }
    if (event.type === "result") {
      this.#complete(event.result.output, summarize(event.result.generations));
      this.message = lastAnswer(event.result.generations);
    }
    if (this.#log !== undefined) {
      this.#log.append(event);
      const text = event.type === "text" ? 4 * event.text.length : 0;
      this.#keep(EVENT_BYTES + text + (event.type === "output" ? weigh(event.value) : 0));
    }
  }

  /** Ends the run at the next token; the task ends when the run has. */
  cancel(reason: CancelReason): void {
    if (this.hasEnded || this.signal.aborted) {
      return;
    }
    this.cancelReason = reason;
    this.#status = "cancelling";
    this.#stop.abort();
    this.#log?.wake();
  }

  /**
   * Ends the task when nothing of the run goes on any more; called once, with the error if the run did not complete.
   */
  close(error?: unknown): void {
    if (this.output === undefined) {
      const isCancelled = this.signal.aborted && error instanceof AbortError;
      this.#status = isCancelled ? "cancelled" : "failed";
      if (!isCancelled) {
        this.failure = failureOf(error ?? new Error("the run ended without a result"));
      }
    } else {
      this.#status = "completed";
      this.#texts = [];
    }
    this.endedAt = new Date();
    this.#endMilliseconds = performance.now();
    this.#bytes =
      TASK_BYTES +
      weigh([this.metadata, this.output?.value, this.message, this.#texts, this.warnings, this.failure]);
    this.#holding?.force(this.#bytes);
    this.#log?.end();
    this.#log = undefined;
    this.#end();
  }

  #keep(bytes: number): void {
    this.#bytes += bytes;
    this.#holding?.force(this.#bytes);
  }

  #complete(value: unknown, summary: RunSummary | undefined): void {
    try {
      JSON.stringify(value);
    } catch (error) {
      const why = errorMessage(error);
      throw new ModelComposeError("invalid-input", `The output cannot be written as JSON: ${why}.`);
    }
    this.output = { value };
    this.summary = summary;
  }
}

function lastAnswer(records: readonly GenerationRecord[]): Task["message"] {
  const result = records.at(-1)?.result;
  return result !== undefined && isChatResult(result)
    ? { message: result.message, reasoning: result.reasoning }
    : undefined;
}

/** Whether a text is an answer to a conversation, which gives more than a text. */
function isChatResult(result: GenerateResult): result is ChatResult {
  return "message" in result;
}

function failureOf(error: unknown): TaskFailure {
  const { detail, ...failure } = runFailure(error);
  return {
    ...failure,
    detail: clip(detail, MESSAGE_CHARACTERS),
    code: error instanceof ModelComposeError ? error.code : undefined,
    message: clip(errorMessage(error), MESSAGE_CHARACTERS),
    isInternal: isInternal(error),
  };
}
