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
  /** A path such as `user.name` or `list[0].x`. Absent: the variable is the whole input or output. */
  readonly name?: string;
  readonly type: VariableType;
  readonly is_list: boolean;
  /** Arguments of the type: the fields of an object, min,max,step of a slider, what a stream is of. */
  readonly subtype?: string;
  readonly format?: string;
  /** The options of a select. */
  readonly options?: readonly string[];
  readonly default?: unknown;
  /** The parameter of a generation that the value is, for example "temperature"; then its range, and what it is by itself. */
  readonly parameter?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  /** The range in words. */
  readonly expected?: string;
  /** What a parameter is where the run does not give it. */
  readonly unset?: unknown;
  /** Whether a run without it is an error. Absent: false. */
  readonly required?: boolean;
  readonly annotations?: readonly { readonly name: string; readonly text: string }[];
}

/** A workflow, with its inputs and outputs where they were asked for. */
export interface WireWorkflow {
  readonly workflow_id: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default?: true;
  readonly input: readonly WireVariable[];
  readonly output: readonly WireVariable[];
  readonly conversation?: WireConversation;
}

/** How a conversation is given to a workflow, by the names of its variables: `messages`, or `history` and `prompt`. */
export interface WireConversation {
  /** Takes all of it; "" where it is the whole input. */
  readonly messages?: string;
  /** Takes what was said before the user's last message. */
  readonly history?: string;
  readonly prompt?: string;
  /** Takes what the model is told before all. The same as `messages` or `history`: it is their first message. */
  readonly system?: string;
}

/** A model that wrote a text of a task. */
export interface WireWritingModel {
  readonly component: string;
  readonly model: string;
  /** What its matrices are held as; absent: several formats. */
  readonly precision?: string;
  readonly device: string;
  /** Tokens, of prompt and new text, that the context holds. */
  readonly context_length: number;
}

/** A task. */
export interface WireTask {
  /** Id of the task, a ULID. */
  readonly task_id: string;
  readonly status: "pending" | "processing" | "cancelling" | "completed" | "failed" | "cancelled";
  readonly workflow_id: string;
  /** The value that came of a task that has completed; absent when it is null. */
  readonly output?: unknown;
  /** The text of why a task has failed. */
  readonly error?: string;
  /** Path of the input that is at fault. */
  readonly field?: string;
  readonly session_id?: string;
  readonly metadata?: unknown;
  /** Time of its start in ISO 8601, as all times. */
  readonly created_at: string;
  readonly started_at?: string;
  readonly ended_at?: string;
  /** Number of new tokens so far, while the task goes on. */
  readonly tokens?: number;
  /** New text so far, while there is no output. */
  readonly text?: string;
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly cached_tokens?: number | undefined;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
  /** Why the last text ended. */
  readonly finish_reason?: "eos" | "length" | "context" | "stop";
  /** Seed of the texts; several when the texts differ in it. */
  readonly seed?: number | readonly number[];
  /**
   * Times in seconds, rates in tokens per second: sums over all texts; the time to the first token is that of the
   * first.
   */
  readonly timings?: {
    readonly time_to_first_token_seconds: number;
    readonly prefill_seconds: number;
    readonly decode_seconds: number;
    readonly prefill_tokens_per_second: number;
    readonly decode_tokens_per_second: number;
  };
  readonly warnings?: readonly string[];
  /** Of a task that has completed: the last answer to a conversation, to be appended to it. */
  readonly message?: {
    readonly role: string;
    readonly content: string;
    readonly reasoning_content?: string;
    readonly tool_calls?: readonly { readonly type: "function"; readonly function: WireToolCall }[];
  };
  /** The models that have begun texts, each once. */
  readonly models?: readonly WireWritingModel[];
}

/** How far loading a model, or reading a prompt, has come. */
export interface WireProgress {
  readonly stage:
    "config" | "download" | "memory" | "tokenizer" | "weights" | "compile" | "ready" | "prefill";
  /** Id of the component whose model is loaded. */
  readonly component?: string;
  /** Number of the text whose prompt is read. */
  readonly generation?: number;
  /** Bytes of a download or of weights, tokens of a prompt, else a fraction. */
  readonly done: number;
  readonly total: number;
}

/** The state of the server. */
export interface WireHealth {
  /** The state in one word; `unreachable` is the page's own: nobody answers. */
  readonly status: "ok" | "loading" | "failed" | "shutting_down" | "unreachable";
  /** Why a model that was there is not any more. */
  readonly reason?: string;
  readonly progress?: WireProgress;
}

/** A model of the server, and what is known of it once it is loaded. */
export interface WireServerModel {
  readonly components: readonly string[];
  readonly model: string;
  readonly task: "text-generation" | "text-to-text" | "chat-completion";
  readonly loaded: boolean;
  /** `used`: it does not make room for others; `going`: its memory is being freed. */
  readonly state: "unloaded" | "loading" | "used" | "idle" | "going";
  readonly precision?: string;
  readonly device?: string;
  readonly context_length?: number;
  readonly memory?: {
    readonly weight_bytes: number;
    readonly kv_cache_bytes: number;
    readonly work_bytes: number;
  };
}

/** What the server holds and does. */
export interface WireStatus {
  readonly version: string;
  /** Time of its start in ISO 8601. */
  readonly started_at: string;
  readonly health: WireHealth;
  readonly running: number;
  readonly waiting: number;
  /** 0: any number. */
  readonly max_concurrent_count: number;
  readonly models: readonly WireServerModel[];
  readonly memory: WireMemory;
}

/** The memory that the server's models share, in bytes. */
export interface WireMemory {
  readonly held_bytes: number;
  /** Absent: what is free. */
  readonly budget_bytes?: number;
}

/** A call of a function that the model wants. */
export interface WireToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** A token and the logarithm of its probability. */
export interface WireProbability {
  readonly token: number;
  readonly text: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
}

/** A token that was chosen, with the most likely ones in its place, the likeliest first. */
export interface WireLogprob extends WireProbability {
  readonly top: readonly WireProbability[];
}

/** The data of a task's events, by the names of the server-sent events. */
export interface WireEvents {
  /** The task, first, and whenever the status changes; last of a task that was cancelled. */
  readonly state: WireTask;
  readonly progress: WireProgress;
  /** New text of one of the run's texts. */
  readonly text: {
    readonly generation: number;
    readonly text: string;
    /** Number of tokens of the piece; 0 where nobody counts them. */
    readonly tokens: number;
    /** How likely the model found each of them, where the run asks for it. */
    readonly logprobs?: readonly WireLogprob[];
    /** What the piece is when it is not the answer itself. */
    readonly kind?: "reasoning" | "tool-call";
    /** The call, of a piece that is one. */
    readonly tool_call?: WireToolCall;
  };
  readonly warning: { readonly message: string };
  /** The task, as the last event of one that has completed. */
  readonly result: WireTask;
  /** The task, as the last event of one that has failed. */
  readonly error: WireTask & { readonly detail: string };
}

/** One event of a task: its name with its data. */
export type WireEvent = {
  readonly [Name in keyof WireEvents]: { readonly type: Name; readonly data: WireEvents[Name] };
}[keyof WireEvents];
