/**
 * Where in a run something happens. There are as many records as there are levels, and each holds what is new at its
 * own: all runs (RunServices), a workflow that is run, by itself or for a job of another (WorkflowSite), one of its
 * jobs (JobSite), and one call of that job's component (CallSite), of which a job may make many.
 */
import type { Slots } from "../../base/async/slots.ts";
import type { ContextNeed } from "../analysis/context-needs.ts";
import type { ComponentDefinition, ComposeDefinition, WorkflowDefinition } from "../definition/definition.ts";
import type { ModelHost } from "../model-host.ts";
import type { JobPath } from "./events.ts";
import type { RunScope, Traced } from "./origin.ts";
import type { Run } from "./run.ts";

/** Takes the pieces of a stream that is the workflow's output. */
export type PieceSink = (value: unknown) => Promise<void>;

/** What the runs of one definition share; it outlives each of them. */
export interface RunServices {
  readonly definition: ComposeDefinition;
  readonly models: ModelHost;
  /** The slots of a component's `max_concurrent_count`. */
  slots(component: ComponentDefinition): Slots;
  /** Runs a workflow. @returns its output @throws what its jobs throw; AbortError */
  callWorkflow(site: WorkflowSite): Promise<unknown>;
}

/** What every level has, with a value of its own or the one of the level above. */
interface Site {
  readonly services: RunServices;
  readonly run: Run;
  /** The job, behind those whose components call its workflow; empty for the workflow of the run itself. */
  readonly path: JobPath;
  /** The input of the workflow; of a call, what its component is given. */
  readonly input: Traced;
  /** Number of this call among several, for the random generator; 0 for the only one. */
  readonly repeat: number;
  readonly signal: AbortSignal;
  /** Takes the pieces of a stream; present while they are the output of the run's workflow. */
  readonly sink?: PieceSink;
}

/** A workflow that is run; `path` is that of the job that calls it. */
export interface WorkflowSite extends Site {
  readonly workflow: WorkflowDefinition;
}

/** A job of a workflow; `path` ends with its id. */
export interface JobSite extends WorkflowSite {
  /** Outputs of the jobs that have completed, by their ids. */
  readonly outputs: ReadonlyMap<string, unknown>;
}

/** A call of a component. */
export interface CallSite extends Site {
  /** Position of the call in a repeat_count or for-each. */
  readonly index?: number;
  /** The seed of texts that are sampled without a seed of their own. */
  readonly drawnSeed: number;
  /** What the templates of the component's action see. */
  readonly scope: RunScope;
}

/** A call with every template evaluated and every value checked, ready to do its work. */
export interface PreparedCall {
  /** What the call needs of a model's context; absent where it calls no model. */
  readonly need?: ContextNeed;
  /** Whether the component streams its output. */
  readonly streams: boolean;
  /**
   * @param needs what all calls of the job need of the model's context
   * @returns the output; for a stream, its pieces joined
   */
  execute(needs: readonly ContextNeed[]): Promise<unknown>;
}
