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

/** The most causes that are shown: a chain may be a circle. */
const MOST_CAUSES = 8;

/** An error's stack and those of its causes. Other properties may hold anything, a whole compose file among it. */
function withCauses(error: unknown): string {
  const lines: string[] = [];
  let cause: unknown = error;
  for (let i = 0; i < MOST_CAUSES && cause !== undefined; i++) {
    const text = cause instanceof Error ? (cause.stack ?? cause.message) : errorMessage(cause);
    lines.push(i === 0 ? text : `Caused by: ${text}`);
    if (cause instanceof AggregateError) {
      lines.push(...cause.errors.map((one: unknown) => `One of them: ${errorMessage(one)}`));
    }
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return lines.join("\n");
}

/** What a person reads when a command fails. `verbose` adds stacks and causes. */
export function failureText(error: unknown, verbose: boolean): string {
  if (verbose) {
    return withCauses(error);
  }
  if (error instanceof ModelComposeError) {
    return error.message;
  }
  return `${errorMessage(error)} (This is a fault in model-compose; --verbose shows where.)`;
}
