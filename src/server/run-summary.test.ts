/** What the texts of a run took, together. */
import { expect, test } from "vitest";
import type { GenerationRecord } from "../compose/run/events.ts";
import { summarize } from "./run-summary.ts";

interface Text {
  readonly prompt: number;
  readonly cached?: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly finish?: string;
}

function record({ prompt, cached, tokens, seconds, seed, finish = "eos" }: Text): GenerationRecord {
  const usage = { promptTokens: prompt, cachedTokens: cached, completionTokens: tokens };
  const timings = {
    timeToFirstTokenSeconds: seconds / 2,
    prefillSeconds: seconds,
    decodeSeconds: 2 * seconds,
  };
  return { result: { usage, timings, seed, finishReason: finish } } as unknown as GenerationRecord;
}

test("nothing was written", () => {
  expect(summarize([])).toBeUndefined();
});

test("one text", () => {
  expect(summarize([record({ prompt: 10, tokens: 5, seconds: 2, seed: 7, finish: "length" })])).toEqual({
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    finish_reason: "length",
    seed: 7,
    timings: {
      time_to_first_token_seconds: 1,
      prefill_seconds: 2,
      decode_seconds: 4,
      prefill_tokens_per_second: 5,
      // The first token comes out of the prefill.
      decode_tokens_per_second: 1,
    },
  });
});

test("several texts: sums, rates over them, the first one's wait and the last one's end", () => {
  const texts = [
    record({ prompt: 10, cached: 4, tokens: 5, seconds: 1, seed: 1, finish: "length" }),
    record({ prompt: 20, tokens: 0, seconds: 2, seed: 2 }),
    record({ prompt: 6, tokens: 3, seconds: 1, seed: 1, finish: "stop" }),
  ];
  expect(summarize(texts)).toEqual({
    usage: { prompt_tokens: 36, cached_tokens: 4, completion_tokens: 8, total_tokens: 44 },
    finish_reason: "stop",
    seed: [1, 2],
    timings: {
      time_to_first_token_seconds: 0.5,
      prefill_seconds: 4,
      decode_seconds: 8,
      prefill_tokens_per_second: 8,
      decode_tokens_per_second: 0.75,
    },
  });
});

test("texts that were not drawn have no seed, and no time has no rate", () => {
  const summary = summarize([record({ prompt: 10, tokens: 5, seconds: 0 })]);
  expect(summary).not.toHaveProperty("seed");
  expect(summary?.timings).toMatchObject({ prefill_tokens_per_second: 0, decode_tokens_per_second: 0 });
});
