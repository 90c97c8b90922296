/** What this machine has: cores and memory. */
import { availableParallelism, freemem, totalmem } from "node:os";

/** Cores this process may use. */
export function availableCores(): number {
  return availableParallelism();
}

/**
 * Bytes of memory this process can still get. Files that the system merely caches count as available; a container's
 * limit counts less what this process already uses (what the container's cache uses is given back on demand).
 */
export function availableMemory(): number {
  const limit = process.constrainedMemory();
  const hasLimit = limit > 0 && limit < totalmem();
  return hasLimit ? Math.min(freemem(), limit - process.memoryUsage.rss()) : freemem();
}
