import type { ComponentJob } from "../../definition/definition.ts";
import { passesPieces } from "../../analysis/pieces.ts";
import { prepareCall } from "../calls/call.ts";
import { makeCalls, MOST_AT_ONCE } from "../calls/calls.ts";
import { WorkflowInputError } from "../input-error.ts";
import { requireWithin } from "../require-within.ts";
import { jobScope, mapInput, mapOutput } from "../scopes.ts";
import type { JobSite } from "../site.ts";
import { requireCount } from "./count.ts";

/**
 * Runs a component, once or `repeat_count` times.
 *
 * @returns its output; of several calls, the list of them
 * @throws WorkflowInputError for a count that cannot be, or a stream that is repeated; what the calls throw
 */
export async function executeComponentJob(job: ComponentJob, site: JobSite): Promise<unknown> {
  const { limits } = site.services.definition.controller;
  const count = job.repeatCount === undefined ? 1 : requireCount("repeat_count", job.repeatCount, site);
  requireWithin(limits, "repeat_count", count);
  const sink = count === 1 && passesPieces(site.workflow, job) ? site.sink : undefined;
  const outputs = await makeCalls(count, MOST_AT_ONCE, site, (number, siteOf) => {
    const index = job.repeatCount === undefined ? undefined : number;
    const scope = jobScope(site, index);
    const input = mapInput(job.input, scope, site.input);
    const call = prepareCall(job.call, siteOf({ input, index, sink }));
    if (!call.streams || count === 1) {
      return mapOutput(job.output, scope, call);
    }
    throw new WorkflowInputError(`A stream is of one text, found repeat_count ${count}.`);
  });
  return outputs.length === 1 ? outputs[0] : outputs;
}
