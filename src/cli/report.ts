import { inspect } from "node:util";
import { ModelComposeError, errorMessage } from "../base/errors.ts";
import type { GenerateResult } from "../runtime/generation/types.ts";

/** Text such as `123 tokens, 45.6 tokens/s, wasm (2 threads)`: the new tokens of all texts, and their decode speed. */
export function statisticsLine(generations: readonly GenerateResult[], device: string): string {
  let tokens = 0;
  let seconds = 0;
  for (const { usage, timings } of generations) {
    tokens += usage.completionTokens;
    seconds += timings.decodeSeconds;
  }
  // The first token of each text comes out of the prefill.
  const decoded = tokens - generations.length;
  const rate = seconds > 0 && decoded > 0 ? decoded / seconds : 0;
  return `${tokens} tokens, ${rate.toFixed(1)} tokens/s, ${device}`;
}

/** What a person reads when a command fails. `verbose` adds stacks and causes. */
export function failureText(error: unknown, verbose: boolean): string {
  if (verbose) {
    return inspect(error, { depth: 8 });
  }
  if (error instanceof ModelComposeError) {
    return error.message;
  }
  return `${errorMessage(error)} (This is a fault in model-compose; --verbose shows where.)`;
}
