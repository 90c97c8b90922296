import { AbortError, errorMessage, ModelComposeError } from "../base/errors.ts";
import type { RunIdentity } from "../compose/run/run.ts";
import type { RunEvent } from "../compose/run/events.ts";
import { EventLog } from "./event-log.ts";
import { summarize, type RunSummary } from "./run-summary.ts";

/** The stage of life that a task is in. */
export type TaskStatus = "pending" | "processing" | "cancelling" | "completed" | "failed" | "cancelled";

/** Why a task was ended before its run did. */
export type CancelReason = "request" | "disconnect" | "shutdown";

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
  /** The value that came of it, and its size as JSON in characters; present when it has completed. */
  output: { readonly value: unknown; readonly size: number } | undefined;
  summary: RunSummary | undefined;
  /** The error with which it failed; present when it has. */
  failure: unknown;
  cancelReason: CancelReason | undefined;
  #status: TaskStatus = "pending";
  #log: EventLog | undefined = new EventLog();
  /** New texts so far, in the order in which they began. */
  #texts: string[] = [];
  readonly #stop = new AbortController();
  readonly #end: () => void;

  constructor(identity: RunIdentity, workflowId: string) {
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
    }
    if (event.type === "run-started" && this.#status === "pending") {
      this.#status = "processing";
    }
    if (event.type === "generation-started") {
      this.#texts[event.generation] = "";
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
    }
    this.#log?.append(event);
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
        this.failure = error ?? new Error("the run ended without a result");
      }
    } else {
      this.#status = "completed";
      this.#texts = [];
    }
    this.endedAt = new Date();
    this.#log?.end();
    this.#log = undefined;
    this.#end();
  }

  #complete(value: unknown, summary: RunSummary | undefined): void {
    let size: number;
    try {
      size = (JSON.stringify(value) ?? "").length;
    } catch (error) {
      const why = errorMessage(error);
      throw new ModelComposeError("invalid-input", `The output cannot be written as JSON: ${why}.`);
    }
    this.output = { value, size };
    this.summary = summary;
  }
}
