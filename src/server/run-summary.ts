import type { FinishReason } from "../runtime/generation/types.ts";
import type { GenerationRecord } from "../compose/run/events.ts";

/** What the texts of one run took, together: numbers of tokens, seconds, tokens per second. */
export interface RunSummary {
  readonly usage: {
    readonly prompt_tokens: number;
    /** Those of the prompts that did not have to be read; absent: none. */
    readonly cached_tokens?: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
  /** Why the last text ended. */
  readonly finish_reason: FinishReason;
  /** Seed of the texts that were drawn; several when they do not share one. Absent: none was drawn. */
  readonly seed?: number | readonly number[];
  /** Times in seconds, rates in tokens per second; of several texts, over their sums. */
  readonly timings: {
    /** The time of the first text to its first token, in seconds. */
    readonly time_to_first_token_seconds: number;
    readonly prefill_seconds: number;
    readonly decode_seconds: number;
    readonly prefill_tokens_per_second: number;
    /** Rate of the tokens after the first of each text, which comes out of its prefill. */
    readonly decode_tokens_per_second: number;
  };
}

/** Sums up the texts of a run. @returns undefined when no model of ours wrote anything */
export function summarize(records: readonly GenerationRecord[]): RunSummary | undefined {
  const results = records.map(({ result }) => result);
  const first = results[0];
  const last = results.at(-1);
  if (first === undefined || last === undefined) {
    return undefined;
  }
  const sum = (of: (result: (typeof results)[number]) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  const promptTokens = sum(({ usage }) => usage.promptTokens);
  const cachedTokens = sum(({ usage }) => usage.cachedTokens ?? 0);
  const completionTokens = sum(({ usage }) => usage.completionTokens);
  const prefillSeconds = sum(({ timings }) => timings.prefillSeconds);
  const decodeSeconds = sum(({ timings }) => timings.decodeSeconds);
  const decoded = sum(({ usage }) => Math.max(0, usage.completionTokens - 1));
  const seeds = [...new Set(results.map(({ seed }) => seed).filter((seed) => seed !== undefined))];
  return {
    usage: {
      prompt_tokens: promptTokens,
      ...(cachedTokens > 0 && { cached_tokens: cachedTokens }),
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
    finish_reason: last.finishReason,
    ...(seeds.length === 0 ? {} : { seed: seeds.length === 1 ? seeds[0] : seeds }),
    timings: {
      time_to_first_token_seconds: first.timings.timeToFirstTokenSeconds,
      prefill_seconds: prefillSeconds,
      decode_seconds: decodeSeconds,
      prefill_tokens_per_second: rate(promptTokens - cachedTokens, prefillSeconds),
      decode_tokens_per_second: rate(decoded, decodeSeconds),
    },
  };
}

function rate(count: number, seconds: number): number {
  return seconds > 0 ? count / seconds : 0;
}
