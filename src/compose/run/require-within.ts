import type { Limits } from "../definition/limits.ts";
import { WorkflowInputError } from "./input-error.ts";

/**
 * Refuses a number that is above one of the file's ceilings.
 *
 * @param field the part of the run's input that the number comes from
 * @throws WorkflowInputError naming the ceiling and where to raise it
 */
export function requireWithin(limits: Limits, name: keyof Limits, found: number, field?: string): void {
  if (found <= limits[name]) {
    return;
  }
  throw new WorkflowInputError(
    `${name} is at most ${limits[name]} here, found ${found}.`,
    field,
    `Ask for less, or raise controller.limits.${name} in the compose file.`,
  );
}
