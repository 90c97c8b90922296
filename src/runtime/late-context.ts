import type { ExecutableOptions, LoadHooks } from "./backend.ts";

/**
 * The length of a late context, when it has been counted and `admit` has let it pass; undefined where the length was
 * known. To be called once a load. Whoever looks at it late, or never, is not asked to handle its failure at once.
 */
export function admittedLength(
  contextLength: ExecutableOptions["contextLength"],
  { admit }: LoadHooks,
): Promise<number> | undefined {
  if (typeof contextLength === "number") {
    return undefined;
  }
  const admitted = contextLength.counted.then((length) => {
    admit?.(length);
    return length;
  });
  admitted.catch(() => undefined);
  return admitted;
}

/** The length that memory is planned for at first: the context's, or the least of one that comes late. */
export function leastLength(contextLength: ExecutableOptions["contextLength"]): number {
  return typeof contextLength === "number" ? contextLength : contextLength.least;
}
