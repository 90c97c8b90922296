/**
 * The JSON of the HTTP API as the page reads it. The page is a client like any other: it imports nothing of the server,
 * and `wire.test-d.ts` proves that both mean the same.
 */

/** What a variable of a workflow is: the types of the template language. */
export type VariableType =
  | "string"
  | "text"
  | "markdown"
  | "integer"
  | "number"
  | "boolean"
  | "json"
  | "list"
  | "object"
  | "base64"
  | "select"
  | "slider"
  | "stream"
  | "any"
  | "none";

/** A value that a workflow takes or gives. What says nothing is left out. */
export interface WireVariable {
  /** A path such as `user.name`, `list[0].x`. Absent: the whole input or output. */
  readonly name?: string;
  readonly type: VariableType;
  readonly is_list: boolean;
  /** The fields of an object, min,max,step of a slider, what a stream is of. */
  readonly subtype?: string;
  readonly format?: string;
  /** The options of a select. */
  readonly options?: readonly string[];
  readonly default?: unknown;
  /** A run without it is an error. Absent: false. */
  readonly required?: boolean;
  readonly annotations?: readonly { readonly name: string; readonly text: string }[];
}

export interface WireWorkflow {
  readonly workflow_id: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default?: true;
  readonly input: readonly WireVariable[];
  readonly output: readonly WireVariable[];
}

export interface WireTask {
  /** A ULID. */
  readonly task_id: string;
  readonly status: "pending" | "processing" | "cancelling" | "completed" | "failed" | "cancelled";
  readonly workflow_id: string;
  /** What came of a task that has completed; absent when it is null. */
  readonly output?: unknown;
  /** Why a task has failed. */
  readonly error?: string;
  /** The part of the input that is at fault. */
  readonly field?: string;
  readonly session_id?: string;
  readonly metadata?: unknown;
  /** Times in ISO 8601. */
  readonly created_at: string;
  readonly started_at?: string;
  readonly ended_at?: string;
  /** New tokens so far, while the task goes on. */
  readonly tokens?: number;
  /** New text so far, while there is no output. */
  readonly text?: string;
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
  /** Why the last text ended. */
  readonly finish_reason?: "eos" | "length" | "context" | "stop";
  /** Several when the texts differ in it. */
  readonly seed?: number | readonly number[];
  /** Seconds and tokens per second: sums over all texts; the time to the first token is that of the first. */
  readonly timings?: {
    readonly time_to_first_token_seconds: number;
    readonly prefill_seconds: number;
    readonly decode_seconds: number;
    readonly prefill_tokens_per_second: number;
    readonly decode_tokens_per_second: number;
  };
  readonly warnings?: readonly string[];
}

/** How far loading a model, or reading a prompt, has come. */
export interface WireProgress {
  readonly stage: "config" | "download" | "tokenizer" | "weights" | "compile" | "ready" | "prefill";
  /** The component whose model is loaded. */
  readonly component?: string;
  /** The text whose prompt is read. */
  readonly generation?: number;
  /** Bytes of a download or of weights, tokens of a prompt, else a fraction. */
  readonly done: number;
  readonly total: number;
}

export interface WireHealth {
  /** `unreachable` is the page's own word: nobody answers. */
  readonly status: "ok" | "loading" | "shutting_down" | "unreachable";
  readonly progress?: WireProgress;
}

/** The data of a task's events, by the names of the server-sent events. */
export interface WireEvents {
  /** First, and whenever the status changes; last of a task that was cancelled. */
  readonly state: WireTask;
  readonly progress: WireProgress;
  /** New text of one of the run's texts. */
  readonly text: {
    readonly generation: number;
    readonly text: string;
    /** 0 where nobody counts them. */
    readonly tokens: number;
    /** What is not the answer itself. */
    readonly kind?: "reasoning" | "tool-call";
  };
  readonly warning: { readonly message: string };
  /** The last of a task that has completed. */
  readonly result: WireTask;
  /** The last of a task that has failed. */
  readonly error: WireTask & { readonly detail: string };
}

/** One event of a task: its name with its data. */
export type WireEvent = {
  readonly [Name in keyof WireEvents]: { readonly type: Name; readonly data: WireEvents[Name] };
}[keyof WireEvents];
