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
