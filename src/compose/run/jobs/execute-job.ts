import { setTimeout as sleep } from "node:timers/promises";
import { AbortError, errorMessage, throwIfAborted } from "../../../base/errors.ts";
import type { DelayJob, JobDefinition, RetryPolicy } from "../../definition/definition.ts";
import { durationExpected, LONGEST_DURATION, parseDuration } from "../../definition/duration.ts";
import { WorkflowInputError } from "../input-error.ts";
import { show } from "../../template/convert.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { executeComponentJob } from "./component-job.ts";
import { executeForEach } from "./for-each.ts";
import { jobScope, withSources } from "../scopes.ts";
import type { JobSite, PieceSink } from "../site.ts";
import { routeOf } from "./routing.ts";
import { isWorthRetrying } from "../run.ts";

/** The output of a job, or the job that comes next. */
export type JobResult = { readonly output: unknown } | { readonly to: string | undefined };

/** Runs a job with its retries and what takes its place when they fail. @throws what the last attempt threw */
export async function executeJob(job: JobDefinition, site: JobSite): Promise<JobResult> {
  // Pieces that have left cannot be taken back: from then on a failure is final.
  let hasLeft = false;
  const { sink } = site;
  const watched: PieceSink | undefined =
    sink &&
    ((piece) => {
      hasLeft = true;
      return sink(piece);
    });
  const { maxAttemptCount: attempts } = job.retry ?? { maxAttemptCount: 1 };
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptJob(job, { ...site, sink: watched });
    } catch (error) {
      throwIfAborted(site.signal);
      if (error instanceof AbortError || hasLeft) {
        throw error;
      }
      if (job.retry === undefined || attempt >= attempts || !isWorthRetrying(error)) {
        return takePlace(job, site, error);
      }
      await waitForRetry(job.retry, attempt, error, site);
    }
  }
}

async function attemptJob(job: JobDefinition, site: JobSite): Promise<JobResult> {
  switch (job.type) {
    case "component":
      return { output: await executeComponentJob(job, site) };
    case "for-each":
      return { output: await executeForEach(job, site) };
    case "delay":
      return { output: await executeDelay(job, site) };
    case "if":
    case "switch":
      return { to: routeOf(job, site) };
  }
}

function takePlace({ onError }: JobDefinition, site: JobSite, error: unknown): JobResult {
  if (onError === undefined) {
    throw error;
  }
  const message = errorMessage(error);
  site.run.warn(
    `The job "${site.path.join(".")}" failed, and its on_error takes its place: ${message}`,
    site.path,
  );
  if (onError.to !== undefined) {
    return { to: onError.to.id };
  }
  if (onError.output === undefined) {
    return { output: null };
  }
  const scope = jobScope(site);
  return { output: evaluateNode(onError.output, withSources(scope, ["error", { message }])) };
}

async function waitForRetry(
  { maxAttemptCount: attempts, delay, backoff, maxDelay = Infinity }: RetryPolicy,
  attempt: number,
  error: unknown,
  { run, path, signal }: JobSite,
): Promise<void> {
  const grown = backoff === "exponential" ? delay * 2 ** (attempt - 1) : delay;
  const milliseconds = Math.min(grown, maxDelay);
  const message = errorMessage(error);
  const delaySeconds = milliseconds / 1000;
  await run.send({ type: "job-retried", path, attempt, attempts, delaySeconds, message });
  await wait(milliseconds, signal);
}

async function executeDelay(job: DelayJob, site: JobSite): Promise<unknown> {
  const scope = jobScope(site);
  const value = evaluateNode(job.duration, scope);
  const milliseconds = parseDuration(value);
  if (milliseconds === undefined) {
    throw new WorkflowInputError(`duration must be ${durationExpected}; found ${show(value)}.`);
  }
  await wait(milliseconds, site.signal);
  return job.output === undefined ? null : evaluateNode(job.output, withSources(scope, ["output", null]));
}

async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(Math.min(milliseconds, LONGEST_DURATION), undefined, { signal });
  } catch (error) {
    throw signal.aborted ? new AbortError(signal.reason) : error;
  }
}
