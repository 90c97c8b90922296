import type { PreparedCall } from "./call.ts";

/** Calls of one job that run at the same time, however many it makes: each may hold a connection. */
export const MOST_AT_ONCE = 64;

/**
 * Does the work for every item, at most `count` at a time.
 *
 * @returns the results in the order of the items
 * @throws the first failure, after the calls that run have ended
 */
export async function mapAtOnce<T, R>(
  items: readonly T[],
  count: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (failure === undefined && next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index], index);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, items.length) }, worker));
  if (failure !== undefined) throw failure.error;
  return results;
}

/** Tokens of KV cache that suffice for all of the calls. */
export function contextOf(calls: readonly PreparedCall[]): number {
  return Math.max(0, ...calls.map(({ context = 0 }) => context));
}

/**
 * Which call this is among all of its kind in a run, for the random generator: calls of a workflow that is itself
 * called several times differ too.
 */
export function repeatNumber(outer: number, index: number): number {
  return (Math.imul(outer, 65_537) + index) >>> 0;
}
