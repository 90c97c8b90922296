/** The JSON of the HTTP API as the page reads it. */
import type { TypeName } from "../../compose/template/ast.ts";

export interface WireVariable {
  /** Absent: the whole input or output. */
  readonly name?: string;
  readonly type: TypeName;
  readonly is_list?: boolean;
  readonly subtype?: string;
  readonly format?: string;
  readonly options?: readonly string[];
  readonly default?: unknown;
  readonly required?: boolean;
  readonly annotations?: readonly { readonly name: string; readonly text: string }[];
}

export interface WireWorkflow {
  readonly workflow_id: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default?: boolean;
  readonly input: readonly WireVariable[];
  readonly output: readonly WireVariable[];
}

export type TaskStatus =
  | "pending"
  | "processing"
  | "streaming"
  | "cancelling"
  | "interrupted"
  | "completed"
  | "failed"
  | "cancelled";

export interface WireTask {
  readonly task_id: string;
  readonly status: TaskStatus;
  readonly workflow_id?: string;
  readonly output?: unknown;
  readonly error?: string;
  /** The input that is at fault. */
  readonly field?: string;
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number };
  readonly timings?: { readonly decode_tokens_per_second: number };
  readonly seed?: number | readonly number[];
  readonly warnings?: readonly string[];
}

/** An event of a task: the SSE event's name, with its data. */
export type WireEvent =
  | { readonly type: "state"; readonly data: WireTask }
  | { readonly type: "progress"; readonly data: WireProgress }
  | { readonly type: "text"; readonly data: WireText }
  | { readonly type: "warning"; readonly data: { readonly message: string } }
  | { readonly type: "result"; readonly data: WireTask }
  | { readonly type: "error"; readonly data: WireTask };

/** How far loading a model, or reading a prompt, has come. */
export interface WireProgress {
  readonly stage: string;
  readonly component?: string;
  readonly generation?: number;
  readonly done: number;
  readonly total: number;
}

export interface WireText {
  readonly generation: number;
  readonly text: string;
  /** 0 where nobody counts them. */
  readonly tokens: number;
}

export interface WireHealth {
  readonly status: string;
  readonly progress?: WireProgress;
}
