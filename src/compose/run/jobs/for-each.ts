import type { ForEachJob } from "../../definition/definition.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { prepareCall } from "../calls/call.ts";
import { makeCalls } from "../calls/calls.ts";
import { WorkflowInputError } from "../input-error.ts";
import { fieldsOf, itemOf, originOf } from "../origin.ts";
import { requireWithin } from "../require-within.ts";
import { jobScope, mapInput, mapOutput, withSources, withTraced } from "../scopes.ts";
import type { JobSite } from "../site.ts";
import { requireCount } from "./count.ts";

/**
 * Runs a component for every item of a list, `batch_size` at a time.
 *
 * @returns the outputs in the order of the items; for a value that is no list, the output of its only call
 * @throws WorkflowInputError when the list is missing or too long; what the calls throw
 */
export async function executeForEach(job: ForEachJob, site: JobSite): Promise<unknown> {
  const scope = jobScope(site);
  const value = evaluateNode(job.input, scope);
  if (value === null) {
    const [field] = fieldsOf(job.input, scope);
    const what = field === undefined ? "The input" : `The workflow input ${JSON.stringify(field)}`;
    throw new WorkflowInputError(
      `${what} is missing, and it is the list of the job "${site.path.join(".")}".`,
      field,
      field === undefined ? undefined : `Add ${JSON.stringify(field)} to the input.`,
    );
  }
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  requireWithin(site.services.definition.controller.limits, "for_each_items", items.length);
  const atOnce = job.batchSize === undefined ? 1 : requireCount("batch_size", job.batchSize, site);
  const origin = originOf(job.input, scope);
  const outputs = await makeCalls(items.length, atOnce, site, (index, siteOf) => {
    const item = { value: items[index], origin: Array.isArray(value) ? itemOf(origin, index) : origin };
    const itemScope = withTraced(jobScope(site, index), "item", item);
    const input = mapInput(job.itemInput, itemScope, item);
    return mapOutput(job.itemOutput, itemScope, prepareCall(job.call, siteOf({ input, index })));
  });
  const output = Array.isArray(value) ? outputs : outputs[0];
  return job.output === undefined ? output : evaluateNode(job.output, withSources(scope, ["output", output]));
}
