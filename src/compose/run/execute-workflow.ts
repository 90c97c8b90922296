import { AbortError, errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { JobDefinition, JobReference } from "../definition/definition.ts";
import { isRouting, JobGraph } from "../analysis/job-graph.ts";
import { isObject } from "../template/convert.ts";
import { evaluateNode } from "../source/node-templates.ts";
import { executeJob, type JobResult } from "./jobs/execute-job.ts";
import type { RunScope } from "./origin.ts";
import { jobScope } from "./scopes.ts";
import type { WorkflowSite } from "./site.ts";

/**
 * Runs the jobs of a workflow, each as soon as those it depends on have completed. The first that fails ends the
 * others.
 *
 * A job that another leads to starts only when it is led to; one that no longer can be is skipped, and so is one that
 * depends only on skipped ones. A route back to a job that has run makes it, and everything after it, run again.
 *
 * @returns the workflow's output: its template's value; without one, the outputs of its last jobs, objects merged in
 *   the order of the file, otherwise that of the last to complete
 * @throws what the first job that fails throws; AbortError
 */
export async function executeWorkflow(site: WorkflowSite): Promise<unknown> {
  const stop = new AbortController();
  const signal = AbortSignal.any([site.signal, stop.signal]);
  const schedule = new Schedule({ ...site, signal });
  try {
    await schedule.run();
  } catch (error) {
    stop.abort(error);
    await schedule.settled();
    throw error;
  }
  const { output } = site.workflow;
  return output === undefined ? schedule.output() : evaluateNode(output, schedule.scope());
}

interface JobState {
  readonly job: JobDefinition;
  status: "waiting" | "running" | "completed" | "skipped";
  /** Whether another job has led here. */
  isLedTo: boolean;
  runs: number;
  /** Ends the job when a route goes back to before it. */
  stop?: AbortController;
}

class Schedule {
  readonly #site: WorkflowSite;
  readonly #graph: JobGraph;
  readonly #states: ReadonlyMap<string, JobState>;
  /** Outputs by job, in the order in which jobs completed. A job that runs again keeps its output until the new one. */
  readonly #outputs = new Map<string, unknown>();
  /** Jobs whose place another took when they failed: they gave no output. */
  readonly #replaced = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #finished = Promise.withResolvers<void>();
  #hasFailed = false;

  constructor(site: WorkflowSite) {
    this.#site = site;
    this.#graph = new JobGraph(site.workflow.jobs);
    const states = site.workflow.jobs.map((job): [string, JobState] => [
      job.id,
      { job, status: "waiting", isLedTo: false, runs: 0 },
    ]);
    this.#states = new Map(states);
  }

  async run(): Promise<void> {
    this.#advance();
    await this.#finished.promise;
  }

  /** Waits until no job does anything any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  scope(): RunScope {
    return jobScope({ ...this.#site, outputs: this.#outputs });
  }

  output(): unknown {
    const terminals = new Set(this.#graph.terminals().map(({ id }) => id));
    const isLast = (id: string): boolean =>
      terminals.has(id) && this.#states.get(id)?.status === "completed" && !this.#replaced.has(id);
    const last = [...this.#outputs].filter(([id]) => isLast(id)).map(([, output]) => output);
    if (!last.every(isObject)) {
      return last.at(-1) ?? null;
    }
    const inOrder = this.#graph.jobs.filter(({ id }) => isLast(id) && this.#outputs.has(id));
    if (inOrder.length === 0) {
      return null;
    }
    return Object.fromEntries(inOrder.flatMap(({ id }) => Object.entries(this.#outputs.get(id) as object)));
  }

  /** Starts what can start, skips what never will, and ends when nothing is left. */
  #advance(): void {
    for (let isChanged = true; isChanged;) {
      isChanged = false;
      for (const state of this.#states.values()) {
        if (state.status !== "waiting") {
          continue;
        }
        const decision = this.#decide(state);
        if (decision === "wait") {
          continue;
        }
        isChanged = true;
        if (decision === "skip") {
          this.#skip(state);
        } else {
          this.#start(state);
        }
      }
      if (!isChanged && this.#running.size === 0) {
        isChanged = this.#skipUnreachable();
      }
    }
    if (this.#running.size === 0) {
      this.#finished.resolve();
    }
  }

  #decide(state: JobState): "start" | "skip" | "wait" {
    const routers = this.#graph.routersOf(state.job.id);
    if (routers.length > 0 && !state.isLedTo) {
      return routers.every(({ id }) => this.#isSettled(id)) ? "skip" : "wait";
    }
    const groups = state.job.dependsOn.map((group) => this.#groupState(group));
    if (groups.includes("pending")) {
      return "wait";
    }
    const isNeeded = state.isLedTo || groups.length === 0 || groups.includes("met");
    return isNeeded ? "start" : "skip";
  }

  /** The state of a group: met when one of its jobs has completed; void when all are skipped. */
  #groupState(group: readonly JobReference[]): "met" | "void" | "pending" {
    const statuses = group.map(({ id }) => this.#states.get(id)?.status);
    if (statuses.includes("completed")) {
      return "met";
    }
    return statuses.every((status) => status === "skipped") ? "void" : "pending";
  }

  #isSettled(id: string): boolean {
    const status = this.#states.get(id)?.status;
    return status === "completed" || status === "skipped";
  }

  /** Skips jobs that wait for each other through a route that was not taken. @returns whether there were any */
  #skipUnreachable(): boolean {
    const stuck = [...this.#states.values()].filter(
      (state) =>
        state.status === "waiting" && !state.isLedTo && this.#graph.routersOf(state.job.id).length > 0,
    );
    for (const state of stuck) {
      this.#skip(state);
    }
    return stuck.length > 0;
  }

  #skip(state: JobState): void {
    state.status = "skipped";
    this.#outputs.delete(state.job.id);
  }

  #start(state: JobState): void {
    const { job } = state;
    state.status = "running";
    state.runs += 1;
    if (state.runs > job.maxRunCount) {
      const error = new ModelComposeError(
        "invalid-input",
        `The job "${job.id}" has run ${job.maxRunCount} times, and a route leads to it once more.`,
        { remedy: "Let the route end earlier, or raise the job's max_run_count." },
      );
      this.#fail(error);
      return;
    }
    const stop = new AbortController();
    state.stop = stop;
    const work: Promise<void> = this.#execute(state, stop).then(
      () => {
        this.#running.delete(work);
        if (!this.#hasFailed) {
          this.#advance();
        }
      },
      (error: unknown) => {
        this.#running.delete(work);
        this.#fail(error);
      },
    );
    this.#running.add(work);
  }

  #fail(error: unknown): void {
    this.#hasFailed = true;
    this.#finished.reject(error);
  }

  async #execute(state: JobState, stop: AbortController): Promise<void> {
    const { job } = state;
    const { run } = this.#site;
    const path = [...this.#site.path, job.id];
    const signal = AbortSignal.any([this.#site.signal, stop.signal]);
    const start = performance.now();
    const seconds = (): number => (performance.now() - start) / 1000;
    await run.send({ type: "job-started", path, job: job.type, run: state.runs });
    let result: JobResult;
    try {
      result = await executeJob(job, { ...this.#site, path, signal, outputs: this.#outputs });
    } catch (error) {
      const outcome =
        error instanceof AbortError
          ? ({ outcome: "aborted" } as const)
          : ({ outcome: "failed", message: errorMessage(error) } as const);
      await run.send({ type: "job-ended", path, seconds: seconds(), ...outcome });
      // A route went back to before this job, so it runs again.
      if (stop.signal.aborted && !this.#site.signal.aborted) {
        return;
      }
      throw error;
    }
    const outcome =
      "output" in result
        ? ({ outcome: "completed", output: result.output } as const)
        : ({ outcome: "routed", to: result.to } as const);
    await run.send({ type: "job-ended", path, seconds: seconds(), ...outcome });
    if (state.stop !== stop) {
      return;
    }
    this.#complete(state, result);
  }

  #complete(state: JobState, result: JobResult): void {
    const { id } = state.job;
    state.status = "completed";
    this.#outputs.delete(id);
    if ("output" in result) {
      this.#outputs.set(id, result.output);
      this.#replaced.delete(id);
    } else {
      if (!isRouting(state.job)) {
        this.#replaced.add(id);
      }
      if (result.to !== undefined) {
        this.#leadTo(result.to);
      }
    }
  }

  #leadTo(id: string): void {
    const target = this.#states.get(id);
    if (target === undefined) {
      return;
    }
    if (target.status !== "waiting") {
      this.#rewind(target);
      for (const after of this.#graph.downstreamOf(id)) {
        this.#rewind(this.#states.get(after));
      }
    }
    target.isLedTo = true;
  }

  #rewind(state: JobState | undefined): void {
    if (state === undefined) {
      return;
    }
    state.stop?.abort();
    state.stop = undefined;
    state.status = "waiting";
    state.isLedTo = false;
    this.#replaced.delete(state.job.id);
  }
}
