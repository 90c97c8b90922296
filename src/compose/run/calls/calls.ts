import { randomInt } from "node:crypto";
import { atOnce } from "../../../base/async/at-once.ts";
import { actionScope } from "../scopes.ts";
import type { CallSite, JobSite, PreparedCall } from "../site.ts";

/** The most calls of one job that run at the same time, however many it makes: each may hold a connection. */
export const MOST_AT_ONCE = 64;

/** What a call of a job has of its own. */
type OwnOfCall = Pick<CallSite, "input" | "index" | "sink">;

/**
 * Renders all calls of a job, then makes them, at most `most` at a time. The first that fails ends the others.
 *
 * @param prepare renders the call of an index; `siteOf` gives its place from what it has of its own
 * @returns the outputs in the order of the calls
 * @throws what rendering throws, or what the first call that fails throws
 */
export async function makeCalls(
  count: number,
  most: number,
  site: JobSite,
  prepare: (index: number, siteOf: (own: OwnOfCall) => CallSite) => PreparedCall,
): Promise<unknown[]> {
  const stop = new AbortController();
  const signal = AbortSignal.any([site.signal, stop.signal]);
  // One key for all texts of the job when the file gives none: (repeat, prompt, sequence) tells them apart.
  const drawnSeed = randomInt(SEEDS);
  const { services, run, path } = site;
  const calls = Array.from({ length: count }, (_, index) =>
    prepare(index, (own) => {
      const repeat = repeatNumber(site.repeat, index);
      const call = { services, run, path, signal, repeat, drawnSeed, ...own };
      return { ...call, scope: actionScope(call) };
    }),
  );
  const needs = calls.flatMap(({ need }) => need ?? []);
  const work = (index: number): Promise<unknown> => calls[index].execute(needs);
  return atOnce(count, Math.min(most, MOST_AT_ONCE), work, () => {
    stop.abort();
  });
}

/** Number of seeds that one is drawn from. */
const SEEDS = 2 ** 48 - 1;

/**
 * The number of this call among all of its kind in a run, for the random generator: calls of a workflow that is itself
 * called several times differ too.
 */
function repeatNumber(outer: number, index: number): number {
  return (Math.imul(outer, 65_537) + index) >>> 0;
}
