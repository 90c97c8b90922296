import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * A path in the optional folder `shared` beside the repository (reference data that is not ours to commit), or
 * undefined where it is absent: tests without it skip, and say so.
 */
export function sharedPath(relative: string): string | undefined {
  const path = fileURLToPath(new URL(`../../../shared/${relative}`, import.meta.url));
  return existsSync(path) ? path : undefined;
}
