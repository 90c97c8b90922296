import type { ForEachJob } from "../../definition/definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import { requireWithin } from "../require-within.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { withSources } from "../calls/call.ts";
import { makeCalls, prepareMapped } from "../calls/calls.ts";
import { requireCount } from "./count.ts";
import { jobScope, type JobSite } from "../job-site.ts";
import { fieldsOf, itemOf, originOf } from "../origin.ts";

/**
 * Runs a component for every item of a list, `batch_size` at a time.
 *
 * @returns the outputs in the order of the items; for a value that is no list, the output of its only run
 */
export async function executeForEach(job: ForEachJob, site: JobSite): Promise<unknown> {
  const scope = jobScope(site);
  const origins = new Map([["input", site.origin]]);
  const value = evaluateNode(job.input, scope);
  if (value === null) {
    const [field] = fieldsOf(job.input, scope, origins);
    const what = field === undefined ? "The input" : `The workflow input ${JSON.stringify(field)}`;
    throw new WorkflowInputError(
      `${what} is missing, and it is the list of the job "${site.path.join(".")}".`,
      field,
      field === undefined ? undefined : `Add ${JSON.stringify(field)} to the input.`,
    );
  }
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  requireWithin(site.run.services.definition.controller.limits, "for_each_items", items.length);
  const atOnce = job.batchSize === undefined ? 1 : requireCount("batch_size", job.batchSize, site);
  const origin = originOf(job.input, scope, origins);
  const outputs = await makeCalls(items.length, atOnce, site, (index, callSite) => {
    const item = items[index];
    const itemOrigin = Array.isArray(value) ? itemOf(origin, index) : origin;
    const mapping = {
      input: job.itemInput,
      output: job.itemOutput,
      given: { value: item, origin: itemOrigin },
      scope: withSources(jobScope(site, index), ["item", item]),
      origins: new Map([...origins, ["item", itemOrigin]]),
    };
    return prepareMapped(job.call, mapping, { ...callSite, index });
  });
  const output = Array.isArray(value) ? outputs : outputs[0];
  return job.output === undefined ? output : evaluateNode(job.output, withSources(scope, ["output", output]));
}
