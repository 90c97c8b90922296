import { randomInt } from "node:crypto";
import type { ForEachJob } from "../definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import { requireWithin } from "../limits.ts";
import { evaluateNode } from "../value-template.ts";
import { prepareCall, withSources, type PreparedCall } from "./call.ts";
import { contextOf, mapAtOnce, MOST_AT_ONCE, repeatNumber } from "./calls.ts";
import { SEEDS } from "./component-job.ts";
import { requireCount } from "./count.ts";
import type { JobSite } from "./execute-job.ts";
import { jobScope } from "./execute-workflow.ts";
import { fieldsOf, itemOf, originOf, type Origin } from "./origin.ts";

/**
 * Runs a component for every item of a list, `batch_size` at a time. All calls are rendered before the first begins.
 *
 * @returns the outputs in the order of the items; for a value that is no list, the output of its only run
 */
export async function executeForEach(job: ForEachJob, site: JobSite): Promise<unknown> {
  const scope = jobScope(site, site.outputs, site.path);
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
  const listOrigin = originOf(job.input, scope, origins);
  const drawnSeed = randomInt(SEEDS);
  const calls = items.map((item, index) => {
    const origin = Array.isArray(value) ? itemOf(listOrigin, index) : listOrigin;
    return prepareItem(job, site, { item, index, origin, drawnSeed });
  });
  const context = contextOf(calls);
  const outputs = await mapAtOnce(calls, Math.min(atOnce, MOST_AT_ONCE), (call) => call.execute(context));
  const output = Array.isArray(value) ? outputs : outputs[0];
  return job.output === undefined ? output : evaluateNode(job.output, withSources(scope, ["output", output]));
}

interface Item {
  readonly item: unknown;
  readonly index: number;
  readonly origin: Origin;
  readonly drawnSeed: number;
}

function prepareItem(job: ForEachJob, site: JobSite, { item, index, origin, drawnSeed }: Item): PreparedCall {
  const base = jobScope(site, site.outputs, site.path, index);
  const scope = withSources(base, ["item", item]);
  const origins = new Map([
    ["input", site.origin],
    ["item", origin],
  ]);
  const repeat = repeatNumber(site.repeat, index);
  const callSite = { ...site, index, repeat, sink: undefined, drawnSeed };
  const { itemInput, itemOutput } = job;
  const call =
    itemInput === undefined
      ? prepareCall(job.call, item, origin, callSite)
      : prepareCall(job.call, evaluateNode(itemInput, scope), originOf(itemInput, scope, origins), callSite);
  if (itemOutput === undefined) return call;
  return {
    ...call,
    execute: async (context) =>
      evaluateNode(itemOutput, withSources(scope, ["output", await call.execute(context)])),
  };
}
