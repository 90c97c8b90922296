import { randomInt } from "node:crypto";
import type { ComponentJob } from "../definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import { requireWithin } from "../limits.ts";
import { evaluateNode } from "../value-template.ts";
import { prepareCall, withSources, type CallSite, type PreparedCall } from "./call.ts";
import { contextOf, mapAtOnce, MOST_AT_ONCE, repeatNumber } from "./calls.ts";
import { requireCount } from "./count.ts";
import type { JobSite } from "./execute-job.ts";
import { jobScope } from "./execute-workflow.ts";
import { originOf } from "./origin.ts";
import { passesPieces } from "./pieces.ts";

/** Seeds are drawn from this many. */
export const SEEDS = 2 ** 48 - 1;

/** Runs a component, once or `repeat_count` times. All calls are rendered before the first begins. */
export async function executeComponentJob(job: ComponentJob, site: JobSite): Promise<unknown> {
  const { limits } = site.run.services.definition.controller;
  const count = job.repeatCount === undefined ? 1 : requireCount("repeat_count", job.repeatCount, site);
  requireWithin(limits, "repeat_count", count);
  const sink = count === 1 && passesPieces(site.workflow, job) ? site.sink : undefined;
  // One key for all texts of the job when the file gives none: (repeat, prompt, sequence) tells them apart.
  const drawnSeed = randomInt(SEEDS);
  const calls = Array.from({ length: count }, (_, index): PreparedCall => {
    const own = job.repeatCount === undefined ? undefined : index;
    const repeat = repeatNumber(site.repeat, index);
    return prepareRun(job, site, { ...site, index: own, repeat, sink, drawnSeed });
  });
  if (count > 1 && calls.some(({ streams }) => streams)) {
    throw new WorkflowInputError(`A stream is of one text, found repeat_count ${count}.`);
  }
  const context = contextOf(calls);
  const outputs = await mapAtOnce(calls, MOST_AT_ONCE, (call) => call.execute(context));
  return outputs.length === 1 ? outputs[0] : outputs;
}

/** One call, its output through the job's mapping. */
function prepareRun(job: ComponentJob, site: JobSite, callSite: CallSite): PreparedCall {
  const scope = jobScope(site, site.outputs, site.path, callSite.index);
  const origins = new Map([["input", site.origin]]);
  const call =
    job.input === undefined
      ? prepareCall(job.call, site.input, site.origin, callSite)
      : prepareCall(job.call, evaluateNode(job.input, scope), originOf(job.input, scope, origins), callSite);
  const { output } = job;
  if (output === undefined) return call;
  return {
    ...call,
    execute: async (context) =>
      evaluateNode(output, withSources(scope, ["output", await call.execute(context)])),
  };
}
