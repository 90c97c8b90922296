import { WorkflowInputError } from "../run/input-error.ts";

/** Ceilings of what the input of one run may ask for; `controller.limits` changes them. */
export interface Limits {
  readonly repeat_count: number;
  readonly for_each_items: number;
  readonly num_beams: number;
  readonly num_return_sequences: number;
  /** Prompts of one call. */
  readonly prompts: number;
}

export const defaultLimits: Limits = {
  repeat_count: 1000,
  for_each_items: 10_000,
  num_beams: 16,
  num_return_sequences: 64,
  prompts: 1000,
};

export const limitNames = Object.keys(defaultLimits) as (keyof Limits)[];

/** @throws WorkflowInputError naming the ceiling and where to raise it */
export function requireWithin(limits: Limits, name: keyof Limits, found: number): void {
  if (found <= limits[name]) {
    return;
  }
  throw new WorkflowInputError(
    `${name} is at most ${limits[name]} here, found ${found}.`,
    undefined,
    `Ask for less, or raise controller.limits.${name} in the compose file.`,
  );
}
