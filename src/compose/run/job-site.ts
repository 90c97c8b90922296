import type { WorkflowDefinition } from "../definition/definition.ts";
import type { Scope } from "../template/evaluate.ts";
import type { PieceSink } from "./calls/call.ts";
import type { JobPath } from "./events.ts";
import type { Origin } from "./origin.ts";
import type { Run } from "./run.ts";

/** A workflow with its input, for the run itself or for a job that calls it. */
export interface WorkflowCall {
  readonly run: Run;
  readonly workflow: WorkflowDefinition;
  readonly input: unknown;
  readonly origin: Origin;
  /** The job that calls it; empty for the run itself. */
  readonly path: JobPath;
  /** Which of several calls this is, for the random generator: 0 for the run itself. */
  readonly repeat: number;
  readonly signal: AbortSignal;
  readonly sink?: PieceSink;
}

/** A job in its workflow; `path` ends with its own id. */
export interface JobSite extends WorkflowCall {
  /** Of the jobs that have completed. */
  readonly outputs: ReadonlyMap<string, unknown>;
}

/** What templates at the level of jobs see: the workflow's input and the outputs so far. */
export function jobScope({ run, input, path, outputs }: JobSite, index?: number): Scope {
  const { taskId, sessionId, metadata } = run.identity;
  const jobs = Object.fromEntries([...outputs].map(([id, output]) => [id, { output }]));
  const context = { task_id: taskId, session_id: sessionId ?? null, metadata: metadata ?? null };
  const sources = new Map<string, unknown>([
    ["input", input],
    ["context", context],
    ["jobs", jobs],
  ]);
  if (index !== undefined) {
    sources.set("index", index);
  }
  return { sources, warn: (message) => run.warn(message, path) };
}
