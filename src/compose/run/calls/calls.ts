import { randomInt } from "node:crypto";
import type { Call } from "../../definition/definition.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import type { Scope } from "../../template/evaluate.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { prepareCall, withSources, type CallSite, type PreparedCall } from "./call.ts";
import type { JobSite } from "../job-site.ts";
import { originOf, type Origin, type Origins } from "../origin.ts";

/** Calls of one job that run at the same time, however many it makes: each may hold a connection. */
export const MOST_AT_ONCE = 64;

/** What stands between a job and its component. */
export interface Mapping {
  /** Absent: what is given is handed on as it is. */
  readonly input?: SourceNode;
  readonly output?: SourceNode;
  readonly given: { readonly value: unknown; readonly origin: Origin };
  /** What the templates see; in `output` also the call's output. */
  readonly scope: Scope;
  readonly origins: Origins;
}

/** Renders one call of a job, its output through the job's mapping. */
export function prepareMapped(call: Call, mapping: Mapping, site: CallSite): PreparedCall {
  const { input, output, given, scope, origins } = mapping;
  const prepared =
    input === undefined
      ? prepareCall(call, given.value, given.origin, site)
      : prepareCall(call, evaluateNode(input, scope), originOf(input, scope, origins), site);
  if (output === undefined) {
    return prepared;
  }
  return {
    ...prepared,
    execute: async (context) =>
      evaluateNode(output, withSources(scope, ["output", await prepared.execute(context)])),
  };
}

/**
 * Renders all calls of a job, then makes them, at most `atOnce` at a time. The first that fails ends the others.
 *
 * @returns the outputs in the order of the calls
 */
export async function makeCalls(
  count: number,
  atOnce: number,
  site: JobSite,
  prepare: (index: number, site: Omit<CallSite, "index" | "sink">) => PreparedCall,
): Promise<unknown[]> {
  const stop = new AbortController();
  const signal = AbortSignal.any([site.signal, stop.signal]);
  // One key for all texts of the job when the file gives none: (repeat, prompt, sequence) tells them apart.
  const drawnSeed = randomInt(SEEDS);
  const { run, path } = site;
  const calls = Array.from({ length: count }, (_, index) =>
    prepare(index, { run, path, signal, repeat: repeatNumber(site.repeat, index), drawnSeed }),
  );
  const context = Math.max(0, ...calls.map((call) => call.context ?? 0));
  const outputs: unknown[] = [];
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (failure === undefined && next < calls.length) {
      const index = next++;
      try {
        outputs[index] = await calls[index].execute(context);
      } catch (error) {
        failure ??= { error };
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, MOST_AT_ONCE, count) }, worker));
  if (failure !== undefined) {
    throw failure.error;
  }
  return outputs;
}

/** Seeds are drawn from this many. */
const SEEDS = 2 ** 48 - 1;

/**
 * Which call this is among all of its kind in a run, for the random generator: calls of a workflow that is itself
 * called several times differ too.
 */
function repeatNumber(outer: number, index: number): number {
  return (Math.imul(outer, 65_537) + index) >>> 0;
}
