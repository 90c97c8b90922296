/** Ceilings of what the input of one run may ask for; `controller.limits` changes them. */
export interface Limits {
  readonly repeat_count: number;
  readonly for_each_items: number;
  readonly num_beams: number;
  readonly num_return_sequences: number;
  /** Number of prompts of one call. */
  readonly prompts: number;
}

/** The ceilings of a file that sets none. */
export const defaultLimits: Limits = {
  repeat_count: 1000,
  for_each_items: 10_000,
  num_beams: 16,
  num_return_sequences: 64,
  prompts: 1000,
};

/** The keys of `controller.limits`. */
export const limitNames = Object.keys(defaultLimits) as (keyof Limits)[];
