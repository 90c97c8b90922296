/**
 * What a run tells while it goes on. The command line, the HTTP API and the web UI all live on these events; nobody
 * looks into a run in any other way.
 *
 * Order: `run-started` first. A job's `job-started` comes before everything it does, its `job-ended` after it. A
 * generation's `generation-started`, `text`… and `generation-ended` come in this order; generations of parallel
 * jobs interleave, and `generation` tells them apart. The last event of a run that succeeds is `result`. A run that
 * fails or is aborted throws instead, after the `job-ended` of the jobs it ended.
 */
import type { GenerateResult, TokenLogprob } from "../../runtime/generation/types.ts";
import type { ToolCall } from "../../models/chat/messages.ts";
import type { LoadProgress } from "../../models/load-options.ts";
import type { JobDefinition } from "../definition/definition.ts";

/** A model that writes a text, as people know it. */
export interface WritingModel {
  /** The name as the file has it. */
  readonly name: string;
  /** What its matrices are held as, for example "bfloat16". Absent: several formats. */
  readonly precision?: string;
  /** Name of the device, for example "wasm (256-bit SIMD, 2 threads)". */
  readonly device: string;
  /** Tokens, of prompt and new text, that the context holds. */
  readonly contextLength: number;
}

/** Ids of jobs, outermost first: those of the jobs that called the workflow, then the one that is meant. */
export type JobPath = readonly string[];

/** Something that happens in a run. */
export type RunEvent =
  | { readonly type: "run-started"; readonly taskId: string; readonly workflow: string }
  /** A job starts. `run` counts its runs from 1: routes may lead to a job again. */
  | {
      readonly type: "job-started";
      readonly path: JobPath;
      readonly job: JobDefinition["type"];
      readonly run: number;
    }
  | ({ readonly type: "job-ended"; readonly path: JobPath; readonly seconds: number } & JobOutcome)
  /** An attempt failed; the job starts again after the delay. `attempt` counts from 1. */
  | {
      readonly type: "job-retried";
      readonly path: JobPath;
      readonly attempt: number;
      readonly attempts: number;
      readonly delaySeconds: number;
      readonly message: string;
    }
  /** The run waits for a component's model. */
  | { readonly type: "loading"; readonly component: string; readonly progress: LoadProgress }
  /** A text begins. `output`: its pieces are the workflow's output, and come as `output` events too. */
  | {
      readonly type: "generation-started";
      /** The seed of a text that is sampled with one that nobody gave. */
      readonly drawnSeed?: number;
      /** The text that the result begins with, before what the model writes: its prompt, where the result has it. */
      readonly prefix?: string;
      /** Number of the text among those of the run, from 0. */
      readonly generation: number;
      readonly path: JobPath;
      readonly component: string;
      /** Absent: an outside API writes it. */
      readonly model?: WritingModel;
      /** Position of the call in a repeat_count or for-each. */
      readonly index?: number;
      readonly output: boolean;
    }
  /** Tokens of the prompt have been read; told at most a few times a second. */
  | {
      readonly type: "prefill";
      readonly generation: number;
      readonly done: number;
      readonly total: number;
    }
  /** New text as it is produced; `tokens` are those that this piece completes (unknown for outside APIs: 0). */
  | {
      readonly type: "text";
      readonly generation: number;
      readonly text: string;
      readonly tokens: number;
      /** What the piece is when it is not part of the answer itself. */
      readonly kind?: "reasoning" | "tool-call";
      /** Log-probabilities of those tokens, where they are asked for. */
      readonly logprobs?: readonly TokenLogprob[];
      /** The call, of a piece that is one. */
      readonly toolCall?: ToolCall;
    }
  /** A text has ended. `record` is absent for a text that an outside API wrote, and for one that broke off. */
  | {
      readonly type: "generation-ended";
      readonly generation: number;
      readonly record?: GenerationRecord;
    }
  /** A piece of the workflow's output, which is a stream: text, or (from an outside API) any JSON value. */
  | { readonly type: "output"; readonly value: unknown }
  /** Something the person who started the run should know. Each message comes once. */
  | { readonly type: "warning"; readonly message: string; readonly path?: JobPath }
  | { readonly type: "result"; readonly result: WorkflowResult };

/** How a job ended. */
export type JobOutcome =
  | { readonly outcome: "completed"; readonly output: unknown }
  /** The job led to another one; `to` is absent when no condition or case held. */
  | { readonly outcome: "routed"; readonly to?: string }
  /** The job failed. What on_error makes of that follows as a second outcome of the job. */
  | { readonly outcome: "failed"; readonly message: string }
  | { readonly outcome: "aborted" };

/** What a run that succeeded gives. */
export interface WorkflowResult {
  /** Value of the output as JSON; for a stream, its pieces joined. */
  readonly output: unknown;
  /** Whether the output was a stream and has been given in `output` events. */
  readonly streamed: boolean;
  /** The texts that models wrote, in the order in which they began. */
  readonly generations: readonly GenerationRecord[];
}

/** One text that a model wrote. */
export interface GenerationRecord {
  readonly path: JobPath;
  readonly component: string;
  readonly index?: number;
  /** Name of the device, for example "wasm (256-bit SIMD, 2 threads)". */
  readonly device: string;
  readonly result: GenerateResult;
  /** Whether the text was sampled with a seed that nobody gave: to get the text again, set `result.seed`. */
  readonly seedDrawn: boolean;
}
