import { closest, distance } from "fastest-levenshtein";

/** The nearest of `names` when it is near enough to be a typing slip, else undefined. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const most = Math.max(1, Math.floor(name.length / 3));
  // A name is at least as far as it is longer or shorter; this also keeps long foreign names from being compared.
  const near = names.filter(({ length }) => Math.abs(length - name.length) <= most);
  if (near.length === 0) {
    return undefined;
  }
  const best = closest(name, near);
  return distance(name, best) <= most ? best : undefined;
}
