/**
 * What a run tells while it goes on. The command line, the HTTP API and the web UI all live on these events; nobody
 * looks into a run in any other way.
 *
 * Order: `run-started` first. A job's `job-started` comes before everything it does, its `job-ended` after it. A
 * generation's `generation-started`, `text`… and `generation-ended` come in this order; generations of parallel
 * jobs interleave, and `generation` tells them apart. The last event of a run that succeeds is `result`. A run that
 * fails or is aborted throws instead, after the `job-ended` of the jobs it ended.
 */
import type { GenerateResult } from "../../runtime/generation/types.ts";
import type { LoadProgress } from "../../models/load-options.ts";
import type { JobDefinition } from "../definition/definition.ts";

/** Ids of jobs: the one meant, behind those that called its workflow, outermost first. */
export type JobPath = readonly string[];

export type RunEvent =
  | { readonly type: "run-started"; readonly taskId: string; readonly workflow: string }
  /** `run` counts from 1: routes may lead to a job again. */
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
      /** Counts the texts of the run from 0. */
      readonly generation: number;
      readonly path: JobPath;
      readonly component: string;
      /** Position in a repeat_count or for-each. */
      readonly index?: number;
      readonly output: boolean;
    }
  /** Tokens of the prompt that have been read, at most a few times a second. */
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
      /** What of a conversation's answer is not the answer itself. */
      readonly kind?: "reasoning" | "tool-call";
    }
  /** `record` is absent for a text that an outside API wrote, and for one that broke off. */
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

export type JobOutcome =
  | { readonly outcome: "completed"; readonly output: unknown }
  /** The job led to another one; `to` is absent when no condition or case held. */
  | { readonly outcome: "routed"; readonly to?: string }
  /** What on_error makes of it follows as a second outcome of the job. */
  | { readonly outcome: "failed"; readonly message: string }
  | { readonly outcome: "aborted" };

export interface WorkflowResult {
  /** A JSON value; for a stream, its pieces joined. */
  readonly output: unknown;
  /** The output was a stream and has been given in `output` events. */
  readonly streamed: boolean;
  /** The texts that models wrote, in the order in which they began. */
  readonly generations: readonly GenerationRecord[];
}

/** One text that a model wrote. */
export interface GenerationRecord {
  readonly path: JobPath;
  readonly component: string;
  readonly index?: number;
  /** For example "wasm (relaxed SIMD, 2 threads)". */
  readonly device: string;
  readonly result: GenerateResult;
  /** The text was sampled with a seed that nobody gave: to get it again, set `result.seed`. */
  readonly seedDrawn: boolean;
}
