import { closest, distance } from "fastest-levenshtein";

/** The nearest of `names` when it is near enough to be a typing slip, else undefined. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  if (names.length === 0) {
    return undefined;
  }
  const best = closest(name, [...names]);
  return distance(name, best) <= Math.max(1, Math.floor(name.length / 3)) ? best : undefined;
}
