/** What this machine has: cores and memory. */
import { availableParallelism } from "node:os";

/** Cores this process may use. */
export function availableCores(): number {
  return availableParallelism();
}

/** Bytes of memory this process can still get, container limits included. */
export function availableMemory(): number {
  return process.availableMemory();
}
