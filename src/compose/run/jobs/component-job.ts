import type { ComponentJob } from "../../definition/definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import { requireWithin } from "../require-within.ts";
import { makeCalls, MOST_AT_ONCE, prepareMapped } from "../calls/calls.ts";
import { requireCount } from "./count.ts";
import { jobScope, type JobSite } from "../job-site.ts";
import { passesPieces } from "../pieces.ts";

/**
 * Runs a component, once or `repeat_count` times.
 *
 * @returns its output; of several calls, the list of them
 */
export async function executeComponentJob(job: ComponentJob, site: JobSite): Promise<unknown> {
  const { limits } = site.run.services.definition.controller;
  const count = job.repeatCount === undefined ? 1 : requireCount("repeat_count", job.repeatCount, site);
  requireWithin(limits, "repeat_count", count);
  const sink = count === 1 && passesPieces(site.workflow, job) ? site.sink : undefined;
  const { input, output } = job;
  const given = { value: site.input, origin: site.origin };
  const origins = new Map([["input", site.origin]]);
  const outputs = await makeCalls(count, MOST_AT_ONCE, site, (number, callSite) => {
    const index = job.repeatCount === undefined ? undefined : number;
    const scope = jobScope(site, index);
    const mapping = { input, output, given, scope, origins };
    const call = prepareMapped(job.call, mapping, { ...callSite, index, sink });
    if (!call.streams || count === 1) {
      return call;
    }
    throw new WorkflowInputError(`A stream is of one text, found repeat_count ${count}.`);
  });
  return outputs.length === 1 ? outputs[0] : outputs;
}
