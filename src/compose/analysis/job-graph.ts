import type { JobDefinition, JobReference } from "../definition/definition.ts";
import type { ProblemList } from "../source/problems.ts";
import { reportMissing } from "../definition/read-ids.ts";

/** The jobs that a job may lead to: by its conditions or cases, or when it fails. */
export function routesOf(job: JobDefinition): readonly JobReference[] {
  return [...branchesOf(job), job.onError?.to].filter((reference) => reference !== undefined);
}

function branchesOf(job: JobDefinition): readonly (JobReference | undefined)[] {
  if (job.type === "if") {
    return [...job.conditions.flatMap(({ ifTrue, ifFalse }) => [ifTrue, ifFalse]), job.otherwise];
  }
  return job.type === "switch" ? [...job.cases.map(({ then }) => then), job.otherwise] : [];
}

/** Whether a job only says which job comes next. */
export function isRouting(job: JobDefinition): boolean {
  return job.type === "if" || job.type === "switch";
}

/** Who leads where in the jobs of one workflow. */
export class JobGraph {
  readonly jobs: readonly JobDefinition[];
  readonly #routers = new Map<string, JobDefinition[]>();

  constructor(jobs: readonly JobDefinition[]) {
    this.jobs = jobs;
    for (const job of jobs) {
      for (const { id } of routesOf(job)) {
        this.#routers.set(id, [...this.routersOf(id), job]);
      }
    }
  }

  /** The jobs that may lead to a job. A job with such jobs starts only when one of them leads to it. */
  routersOf(id: string): readonly JobDefinition[] {
    return this.#routers.get(id) ?? [];
  }

  /** The jobs whose results are those of the workflow: no other depends on them, and they are no signposts. */
  terminals(): readonly JobDefinition[] {
    const needed = new Set(this.jobs.flatMap((job) => dependenciesOf(job)));
    return this.jobs.filter((job) => !needed.has(job.id) && !isRouting(job));
  }

  /** Everything that comes after a job, by dependency or by route; the job itself when it is in a loop. */
  downstreamOf(id: string): ReadonlySet<string> {
    return closure(id, (from) => {
      const job = this.jobs.find((one) => one.id === from);
      const dependents = this.jobs.filter((one) => dependenciesOf(one).includes(from));
      return [
        ...dependents.map((one) => one.id),
        ...(job === undefined ? [] : routesOf(job).map((to) => to.id)),
      ];
    });
  }

  /** Everything that comes before a job, by dependency or by route. */
  upstreamOf(id: string): ReadonlySet<string> {
    return closure(id, (from) => {
      const job = this.jobs.find((one) => one.id === from);
      return [
        ...(job === undefined ? [] : dependenciesOf(job)),
        ...this.routersOf(from).map((one) => one.id),
      ];
    });
  }
}

function dependenciesOf(job: JobDefinition): string[] {
  return job.dependsOn.flat().map(({ id }) => id);
}

function closure(start: string, next: (id: string) => readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [...next(start)];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (found.has(id)) {
      continue;
    }
    found.add(id);
    open.push(...next(id));
  }
  return found;
}

/** Reports references to jobs that do not exist, cycles, and jobs that can never start. */
export function checkJobGraph(jobs: readonly JobDefinition[], where: string, problems: ProblemList): void {
  if (reportDangling(jobs, problems) || reportCycle(jobs, where, problems)) {
    return;
  }
  reportNeverStarting(new JobGraph(jobs), problems);
}

function reportDangling(jobs: readonly JobDefinition[], problems: ProblemList): boolean {
  let found = false;
  const check = (reference: JobReference, job: JobDefinition, verb: string): void => {
    if (reference.id === job.id) {
      problems.invalid(`the job "${job.id}" ${verb} itself.`, reference.location, "Name another job.");
      found = true;
    } else if (!jobs.some(({ id }) => id === reference.id)) {
      const what = `the job "${job.id}" ${verb} the job "${reference.id}"`;
      const others = jobs.filter((one) => one !== job);
      reportMissing(what, reference.id, others, reference.location, problems);
      found = true;
    }
  };
  for (const job of jobs) {
    for (const reference of job.dependsOn.flat()) {
      check(reference, job, "depends on");
    }
    for (const reference of routesOf(job)) {
      check(reference, job, "leads to");
    }
  }
  return found;
}

function reportCycle(jobs: readonly JobDefinition[], where: string, problems: ProblemList): boolean {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const done = new Set<string>();
  const cycleFrom = (
    job: JobDefinition,
    path: readonly JobReference[],
  ): readonly JobReference[] | undefined => {
    if (done.has(job.id)) {
      return undefined;
    }
    for (const reference of job.dependsOn.flat()) {
      const at = path.findIndex(({ id }) => id === reference.id);
      if (at !== -1) {
        return [...path.slice(at), reference];
      }
      const next = byId.get(reference.id);
      const cycle = next === undefined ? undefined : cycleFrom(next, [...path, reference]);
      if (cycle !== undefined) {
        return cycle;
      }
    }
    done.add(job.id);
    return undefined;
  };
  for (const job of jobs) {
    const cycle = cycleFrom(job, [{ id: job.id, location: job.location }]);
    if (cycle === undefined) {
      continue;
    }
    problems.invalid(
      `the jobs of ${where} depend on each other in a cycle: ${cycle.map(({ id }) => id).join(" → ")}.`,
      cycle.at(-1)?.location,
      "Remove one of these dependencies.",
    );
    return true;
  }
  return false;
}

function reportNeverStarting(graph: JobGraph, problems: ProblemList): void {
  const startable = new Set<string>();
  const canStart = (job: JobDefinition): boolean => {
    const routers = graph.routersOf(job.id);
    const isLedTo = routers.length === 0 || routers.some(({ id }) => startable.has(id));
    return isLedTo && job.dependsOn.every((group) => group.some(({ id }) => startable.has(id)));
  };
  for (let size = -1; size !== startable.size;) {
    size = startable.size;
    for (const job of graph.jobs) {
      if (canStart(job)) {
        startable.add(job.id);
      }
    }
  }
  const never = graph.jobs.filter(({ id }) => !startable.has(id));
  for (const job of never) {
    const routers = graph.routersOf(job.id).map(({ id }) => `"${id}"`);
    if (routers.length === 0) {
      continue;
    } // The job waits for one that is reported itself.
    problems.invalid(
      `the job "${job.id}" can never start: it starts when ${routers.join(" or ")} leads to it, which comes after it.`,
      job.location,
      "A job that another leads to does not start by itself: let a first job lead to it too.",
    );
  }
}
