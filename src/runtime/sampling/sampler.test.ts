import { describe, expect, test } from "vitest";
import { GREEDY as PLAIN_GREEDY } from "../../../bench/harness/workload.ts";
import { sequenceRules } from "../../../test/support/rules.ts";
import { uniform } from "./philox.ts";
import { HistoryProcessors } from "./history-processors.ts";
import { ListedHistory } from "./token-history.ts";
import { Sampler, type SamplerContext } from "./sampler.ts";
import type { ResolvedSampling } from "./options.ts";
import { scaleByFraction, softmaxWeight } from "./softmax-weights.ts";

const GREEDY: ResolvedSampling = { ...PLAIN_GREEDY, seed: 42 };
const SAMPLED: ResolvedSampling = { ...GREEDY, doSample: true };

function makeSampler(sampling: ResolvedSampling, context: Partial<SamplerContext> = {}): Sampler {
  return new Sampler(sampling, {
    vocabSize: 8,
    promptIds: [],
    eosTokenIds: [],
    minNewTokens: 0,
    sequence: [0, 0, 0],
    ...context,
  });
}

/** Bell-shaped logits in -6 .. 6 from Philox. */
function bellLogits(vocabSize: number, seed: number): Float32Array {
  return Float32Array.from({ length: vocabSize }, (_, token) => {
    const sum =
      uniform(seed, token, [1, 0, 0]) + uniform(seed, token, [2, 0, 0]) + uniform(seed, token, [3, 0, 0]);
    return (sum / 2 ** 32 - 1.5) * 4;
  });
}

describe("greedy", () => {
  test("takes the highest logit, of equal ones the lowest id", () => {
    const sampler = makeSampler(GREEDY);
    expect(sampler.choose(Float32Array.of(1, 5, -2, 5, 0, 5, 4.9, -Infinity), 0)).toBe(1);
    expect(sampler.choose(new Float32Array(8), 1)).toBe(0);
    expect(sampler.choose(Float32Array.of(-3, -2, -1, -2, -3, -4, -5, -6), 2)).toBe(2);
  });

  test("subtracts what new tokens are penalised by, as often as they came, behind the repetition penalty", () => {
    const rules = sequenceRules({ frequencyPenalty: 0.5, presencePenalty: 0.25 });
    const sampler = makeSampler({ ...GREEDY, repetitionPenalty: 2 }, { promptIds: [1, 1, 5, 99], rules });
    const logits = Float32Array.of(4, 4, 4, 4, 4, 4, 4, 4);
    expect(sampler.process(logits, 4)).toEqual(Float32Array.of(4, 2, 4, 4, 4, 2, 4, 4));
    for (const token of [2, 2, 1, 2]) {
      sampler.accept(token);
    }
    // Token 1 counts once: the prompt's do not count.
    expect(sampler.process(logits, 8)).toEqual(
      Float32Array.of(4, 2 - 0.5 - 0.25, 2 - 1.5 - 0.25, 4, 4, 2, 4, 4),
    );
  });

  test("a listed history is penalised as one that grows", () => {
    const rules = sequenceRules({ frequencyPenalty: 0.5 });
    const settings = { repetitionPenalty: 1, eosTokenIds: [], minNewTokens: 0, promptLength: 2, rules };
    const scores = new Float32Array(4);
    new HistoryProcessors(settings).apply(scores, new ListedHistory([1, 1, 1, 3, 99], 4));
    expect(scores).toEqual(Float32Array.of(0, -0.5, 0, -0.5));
  });

  test("penalties in f32, each step rounded; below 0 they favour; biases are added", () => {
    const rules = sequenceRules({
      frequencyPenalty: -0.1,
      presencePenalty: 1.3,
      sequenceBias: [
        [[3], 1.5],
        [[500], 1],
      ],
    });
    const sampler = makeSampler(GREEDY, { rules });
    sampler.accept(0);
    sampler.accept(0);
    sampler.accept(0);
    const { fround } = Math;
    const processed = sampler.process(Float32Array.of(0.7, 0, 0, 1, 0, 0, 0, 0), 3);
    expect(processed[0]).toBe(fround(fround(fround(0.7) - fround(fround(-0.1) * 3)) - fround(1.3)));
    expect(processed[3]).toBe(2.5);
  });

  test("applies the repetition penalty to prompt and new tokens", () => {
    const sampler = makeSampler({ ...GREEDY, repetitionPenalty: 2 }, { promptIds: [1, 1, 99] });
    const logits = Float32Array.of(2, 5, 3, 1, 1, 1, 1, 1);
    expect(sampler.choose(logits, 3)).toBe(2);
    sampler.accept(2);
    expect(sampler.choose(logits, 4)).toBe(1);
    sampler.accept(1);
    sampler.accept(0);
    expect(sampler.process(Float32Array.of(-1, 2, 3, -4, 0, 0, 0, 0), 6)).toEqual(
      Float32Array.of(-2, 1, 1.5, -4, 0, 0, 0, 0),
    );
  });

  test("repeats no n-gram", () => {
    const sampler = makeSampler(GREEDY, {
      promptIds: [1, 2, 3, 1, 2],
      rules: sequenceRules({ noRepeatNgramSize: 3 }),
    });
    const logits = Float32Array.of(0, 0, 0, 9, 8, 0, 0, 0);
    expect(sampler.choose(logits, 5)).toBe(4);
    sampler.accept(4);
    expect(sampler.choose(logits, 6)).toBe(3);
  });

  test("bans end-of-sequence tokens for minNewTokens", () => {
    const sampler = makeSampler(GREEDY, { promptIds: [3, 3], eosTokenIds: [5, 6], minNewTokens: 2 });
    const logits = Float32Array.of(0, 1, 0, 0, 0, 9, 8, 0);
    const chosen = [0, 1, 2].map((step) => {
      const token = sampler.choose(logits, 2 + step);
      sampler.accept(token);
      return token;
    });
    expect(chosen).toEqual([1, 1, 5]);
  });
});

describe("sampling", () => {
  test("100,000 draws follow the softmax (chi-square)", () => {
    const logits = Float32Array.of(0.3, -1.2, 2.1, 0, -0.5, 1.4, -3, 0.9);
    const temperature = 0.8;
    const sampler = makeSampler({ ...SAMPLED, temperature });
    const draws = 100_000;
    const counts = new Array<number>(8).fill(0);
    for (let position = 0; position < draws; position++) {
      const token = sampler.choose(logits, position);
      counts[token] = (counts[token] ?? 0) + 1;
    }
    const numerators = Array.from(logits, (logit) => Math.exp(logit / temperature));
    const total = numerators.reduce((sum, value) => sum + value, 0);
    const chiSquare = counts.reduce((sum, count, token) => {
      const expected = (draws * (numerators[token] ?? 0)) / total;
      return sum + (count - expected) ** 2 / expected;
    }, 0);
    // The bounds are the 0.1 % and 99.9 % quantiles for 7 degrees of freedom: a perfect fit would be as suspect as a
    // bad one.
    expect(chiSquare).toBeGreaterThan(0.5985);
    expect(chiSquare).toBeLessThan(24.32);
  });

  test("draws only from what the filters leave, with the right proportions", () => {
    const logits = Float32Array.from([0.6, 0.3, 0.06, 0.04], Math.log);
    const sampler = makeSampler({ ...SAMPLED, topP: 0.85 }, { vocabSize: 4 });
    const counts = [0, 0, 0, 0];
    for (let position = 0; position < 20_000; position++) {
      const token = sampler.choose(logits, position);
      counts[token] = (counts[token] ?? 0) + 1;
    }
    expect(counts.slice(2)).toEqual([0, 0]);
    // The bound is five standard deviations of a binomial.
    expect(Math.abs((counts[0] ?? 0) / 20_000 - 2 / 3)).toBeLessThan(5 * Math.sqrt(2 / 9 / 20_000));
  });

  test("the token is the one where the cumulative weight exceeds the scaled draw", () => {
    const logits = bellLogits(1000, 5);
    const highest = logits.reduce((max, logit) => Math.max(max, logit), -Infinity);
    const weights = Array.from(logits, (logit) => softmaxWeight(Math.fround(highest - logit)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const sampler = makeSampler(SAMPLED, { vocabSize: 1000, sequence: [4, 5, 6] });
    for (let position = 0; position < 200; position++) {
      const target = scaleByFraction(total, uniform(42, position, [4, 5, 6]));
      let cumulative = 0;
      const expected = weights.findIndex((weight) => (cumulative += weight) > target);
      expect(sampler.choose(logits, position)).toBe(expected);
    }
  });

  test("a draw depends on seed, sequence and position, and on no earlier draw", () => {
    const logits = bellLogits(500, 6);
    const chooseAll = (sampler: Sampler, positions: readonly number[]): number[] =>
      positions.map((position) => sampler.choose(logits, position));
    const positions = Array.from({ length: 40 }, (_, i) => i);
    const vocabSize = 500;
    const reference = chooseAll(makeSampler(SAMPLED, { vocabSize }), positions);

    const backwards = chooseAll(makeSampler(SAMPLED, { vocabSize }), positions.toReversed());
    expect(backwards.toReversed()).toEqual(reference);
    const longerPrompt = makeSampler(SAMPLED, { vocabSize, promptIds: [1, 2, 3] });
    expect(chooseAll(longerPrompt, positions)).toEqual(reference);

    expect(chooseAll(makeSampler({ ...SAMPLED, seed: 43 }, { vocabSize }), positions)).not.toEqual(reference);
    for (const sequence of [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ] as const) {
      expect(chooseAll(makeSampler(SAMPLED, { vocabSize, sequence }), positions)).not.toEqual(reference);
    }
  });

  test("top-p's selection equals a sort, on 300 random cases with ties", () => {
    for (let round = 0; round < 300; round++) {
      const vocabSize = 1 + (uniform(round, 0, [9, 0, 0]) % 400);
      const quantum = 2 ** -(uniform(round, 1, [9, 0, 0]) % 12);
      const logits = bellLogits(vocabSize, round).map((logit) => Math.floor(logit / quantum) * quantum);
      const topP = Math.max(uniform(round, 2, [9, 0, 0]) / 2 ** 32, 1e-9);

      const highest = logits.reduce((max, logit) => Math.max(max, logit), -Infinity);
      const weightOf = (token: number): number => softmaxWeight(Math.fround(highest - (logits[token] ?? 0)));
      const ascending = [...logits.keys()].sort((a, b) => (logits[a] ?? 0) - (logits[b] ?? 0) || a - b);
      const total = ascending.reduce((sum, token) => sum + weightOf(token), 0);
      let cumulative = 0;
      const kept = ascending.filter((token, rank) => {
        cumulative += weightOf(token);
        return rank === vocabSize - 1 || Math.fround(cumulative / total) > Math.fround(1 - topP);
      });

      const processed = makeSampler({ ...SAMPLED, topP }, { vocabSize }).process(logits, 0);
      const survivors = [...processed.keys()].filter((token) => processed[token] !== -Infinity);
      expect(survivors).toEqual(kept.sort((a, b) => a - b));
    }
  });

  test("does not touch logits in shared memory, and keeps nothing of them", () => {
    const logits = new Float32Array(new SharedArrayBuffer(32));
    logits.set([1, 2, 3, 4, 5, 6, 7, 8]);
    const sampler = makeSampler(
      { ...SAMPLED, temperature: 0.5, topK: 3, repetitionPenalty: 1.5 },
      { promptIds: [7] },
    );
    const first = sampler.choose(logits, 1);
    expect([...logits]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    logits.fill(0);
    sampler.choose(logits, 1);
    logits.set([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(sampler.choose(logits, 1)).toBe(first);
  });
});

describe("errors", () => {
  const modes: [string, ResolvedSampling][] = [
    ["greedy", GREEDY],
    ["sampled", SAMPLED],
    ["top-k", { ...SAMPLED, topK: 2 }],
    ["top-p", { ...SAMPLED, topP: 0.5 }],
  ];

  test.each(modes)("%s: NaN is named, wherever it stands", (_, sampling) => {
    for (const token of [0, 3, 7]) {
      const logits = Float32Array.of(1, 2, 3, 4, 3, 2, 1, 0);
      logits[token] = NaN;
      expect(() => makeSampler(sampling).choose(logits, 17)).toThrow(
        `The logit of token ${token} at position 17 must be finite or -Infinity; found NaN`,
      );
    }
  });

  test.each(modes)("%s: +Infinity is named", (_, sampling) => {
    const logits = Float32Array.of(1, 2, Infinity, 4, 3, 2, 1, 0);
    expect(() => makeSampler(sampling).choose(logits, 2)).toThrow("logit of token 2 at position 2");
  });

  test.each(modes)("%s: nothing left to choose", (_, sampling) => {
    expect(() => makeSampler(sampling).choose(new Float32Array(8).fill(-Infinity), 3)).toThrow(
      "No token is left to choose at position 3",
    );
    const banned = makeSampler(sampling, {
      promptIds: [0, 1, 2, 3, 4, 5, 6, 7],
      rules: sequenceRules({ noRepeatNgramSize: 1 }),
    });
    expect(() => banned.choose(new Float32Array(8), 8)).toThrow("Lower noRepeatNgramSize or minNewTokens");
  });

  test("a temperature that overflows f32 is named", () => {
    const sampler = makeSampler({ ...SAMPLED, temperature: 1e-37 });
    expect(() => sampler.choose(Float32Array.of(1, 2, 3, 4, 50, 2, 1, 0), 0)).toThrow(
      "after division by the temperature 1e-37. Use temperature 0 for greedy decoding",
    );
  });

  test("logits of another vocabulary, and tokens outside it", () => {
    const sampler = makeSampler(GREEDY);
    expect(() => sampler.choose(new Float32Array(9), 0)).toThrow("expects 8 logits");
    for (const token of [-1, 8, 1.5, NaN]) {
      expect(() => sampler.accept(token)).toThrow(`an integer in 0 .. 7; found ${token}`);
    }
  });
});
