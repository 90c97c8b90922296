import { randomUUID } from "node:crypto";
import type { Call } from "../../definition/definition.ts";
import type { Scope } from "../../template/evaluate.ts";
import type { JobPath } from "../events.ts";
import { prepareHttp } from "./http-client.ts";
import type { Origin } from "../origin.ts";
import type { Run } from "../run.ts";
import { prepareWorkflowCall } from "./sub-workflow.ts";
import { prepareModelCall } from "./model-call.ts";

/** Takes the pieces of a stream that is the workflow's output. */
export type PieceSink = (value: unknown) => Promise<void>;

/** Where a component is called from. */
export interface CallSite {
  readonly run: Run;
  readonly path: JobPath;
  /** Position in a repeat_count or for-each. */
  readonly index?: number;
  /** Which of several calls this is, for the random generator; 0 for the only one. */
  readonly repeat: number;
  readonly signal: AbortSignal;
  /** Present when what the component streams is, piece by piece, the workflow's output. */
  readonly sink?: PieceSink;
  /** Serves texts that are sampled without a seed of their own. */
  readonly drawnSeed: number;
}

/** A call with every template evaluated and every value checked, ready to do its work. */
export interface PreparedCall {
  /** Tokens of KV cache that suffice for it; only of calls of a model. */
  readonly context?: number;
  /** The component streams its output. */
  readonly streams: boolean;
  /** @param context the most that any call of the job needs @returns the output; for a stream, its pieces joined */
  execute(context: number): Promise<unknown>;
}

/**
 * Renders a call of a component. `input` is the job's.
 *
 * @throws WorkflowInputError naming the field of the run's input that is at fault
 */
export function prepareCall(call: Call, input: unknown, origin: Origin, site: CallSite): PreparedCall {
  switch (call.kind) {
    case "model":
      return prepareModelCall(call, input, origin, site);
    case "http-client":
      return prepareHttp(call, input, origin, site);
    case "workflow":
      return prepareWorkflowCall(call, input, origin, site);
  }
}

/** What the templates of an action see. */
export function actionScope(input: unknown, { run, path, index }: CallSite): Scope {
  const sources: [string, unknown][] = [
    ["input", input],
    ["context", { run_id: randomUUID() }],
  ];
  if (index !== undefined) {
    sources.push(["index", index]);
  }
  return { sources: new Map(sources), warn: (message) => run.warn(message, path) };
}

export function withSources(scope: Scope, ...sources: readonly (readonly [string, unknown])[]): Scope {
  return { ...scope, sources: new Map([...scope.sources, ...sources]) };
}
