/**
 * The same request gives the same text on both devices. Given the same logits every device picks the same token
 * (token-choice.test.ts proves it bit by bit); the logits themselves differ by rounding. So the draws here are ones that do
 * not hang on it: each is repeated on logits that are off by far more than the devices differ.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadModel, type GenerateOptions, type GenerateResult, type Model } from "../src/index.ts";
import { Sampler } from "../src/runtime/sampling/sampler.ts";
import { resolveGenerateOptions } from "../src/runtime/generation/options.ts";
import { expectWithin } from "./support/accuracy.ts";
import { ADAPTER } from "./support/devices.ts";
import { modelPath } from "./support/golden.ts";
import { randomSource } from "./support/numbers.ts";
import { sequenceRules } from "./support/rules.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** The number that is added to logits, up or down. */
const NOISE = 1e-3;
/** The largest difference between the devices' logits. */
const DIFFERENCE = NOISE / 10;
/** Number of repetitions of each draw. */
const REPETITIONS = 10;

const EOS = 1;
const PROMPTS = ["Once upon a time", "The old dog", "One day, a girl named Lily"];

let cpu: Model;
let gpu: Model;
beforeAll(async () => {
  const directory = modelPath("tales");
  [cpu, gpu] = await Promise.all([
    loadModel(directory, { device: "wasm", threads: 2, contextLength: 96 }),
    loadModel(directory, { device: `webgpu:${ADAPTER}`, contextLength: 96 }),
  ]);
});
afterAll(async () => {
  await Promise.all([cpu.dispose(), gpu.dispose()]);
});

const plain = { doSample: true, temperature: 1, topK: 0, topP: 1, minP: 0 } as const;
const CASES: readonly GenerateOptions[] = [
  { doSample: false },
  { doSample: false, repetitionPenalty: 1.3 },
  { doSample: false, noRepeatNgramSize: 2 },
  { ...plain, seed: 19 },
  { ...plain, seed: 2 ** 53 - 1, sequence: [3, 2, 7] },
  { ...plain, seed: 3, temperature: 0.6 },
  { ...plain, seed: 4, temperature: 1.8, topK: 7 },
  { ...plain, seed: 5, topK: 50, topP: 0.9 },
  { ...plain, seed: 6, topP: 0.8, temperature: 1.2 },
  { ...plain, seed: 7, minP: 0.05 },
  { ...plain, seed: 8, topK: 1 },
  { ...plain, seed: 9, topK: 40, topP: 0.95, minP: 0.02, repetitionPenalty: 1.2, temperature: 0.8 },
  { ...plain, seed: 10, topK: 20, noRepeatNgramSize: 3, repetitionPenalty: 1.1 },
  { ...plain, seed: 11, topK: 5, minNewTokens: 12, ignoreEos: false },
  { doSample: false, frequencyPenalty: 0.7, presencePenalty: 0.4 },
  { doSample: false, sequenceBias: [[[300], 6]] },
  { ...plain, seed: 12, topK: 30, frequencyPenalty: 1.1, presencePenalty: -0.6 },
];

/** A result without the time that it took. */
function withoutTimings(result: GenerateResult): object {
  return { ...result, timings: undefined };
}

/** The token that the CPU's sampler chooses at every step of a finished generation, from these logits. */
function choices(
  result: GenerateResult,
  promptIds: readonly number[],
  options: GenerateOptions,
  logitsOf: (step: number) => Float32Array,
): number[] {
  const { sampling } = resolveGenerateOptions(options, {});
  const sampler = new Sampler(sampling, {
    vocabSize: cpu.vocabSize,
    promptIds,
    eosTokenIds: options.ignoreEos === true ? [] : [EOS],
    minNewTokens: options.minNewTokens ?? 0,
    sequence: options.sequence ?? [0, 0, 0],
    rules: sequenceRules(options),
  });
  return result.tokens.map((token, step) => {
    const chosen = sampler.choose(logitsOf(step), promptIds.length + step);
    sampler.accept(token);
    return chosen;
  });
}

describe.each(CASES.map((options, i) => [JSON.stringify(options), options, i] as const))(
  "%s",
  (_, options, i) => {
    test("the same tokens and text on both devices", async () => {
      const prompt = PROMPTS[i % PROMPTS.length];
      const request = { maxNewTokens: (options.minNewTokens ?? 4) + 2, ignoreEos: true, ...options };
      const [expected, found] = await Promise.all([
        cpu.generate(prompt, request),
        gpu.generate(prompt, request),
      ]);
      expect(withoutTimings(found)).toEqual(withoutTimings({ ...expected, seed: found.seed }));
      if (options.seed !== undefined) {
        expect(found.seed).toBe(options.seed);
      }
      expect(found.tokens.length).toBeGreaterThan(4);

      // The same draws are repeated from logits that are off, which shows how much room there is.
      const promptIds = cpu.tokenizer.encode(prompt);
      const ids = [...promptIds, ...expected.tokens.slice(0, -1)];
      const { logits, shape } = await cpu.forward(ids);
      expect(shape).toEqual([ids.length, cpu.vocabSize]);
      const random = randomSource(i);
      for (let repetition = 0; repetition < REPETITIONS; repetition++) {
        const noisy = choices(expected, promptIds, request, (step) => {
          const from = (promptIds.length - 1 + step) * cpu.vocabSize;
          return logits.slice(from, from + cpu.vocabSize).map((logit) => logit + (2 * random() - 1) * NOISE);
        });
        expect(noisy).toEqual(expected.tokens);
      }
    });
  },
);

test("the devices' logits differ by far less than the noise of these tests", async () => {
  for (const prompt of PROMPTS) {
    const { tokens } = await cpu.generate(prompt, { ...plain, seed: 20, maxNewTokens: 30, ignoreEos: true });
    const ids = [...cpu.tokenizer.encode(prompt), ...tokens];
    const [expected, found] = await Promise.all([cpu.forward(ids), gpu.forward(ids)]);
    expectWithin(found.logits, expected.logits, DIFFERENCE, prompt);
  }
});

describe("ends and pieces", () => {
  const expectSame = async (
    prompt: string | readonly number[],
    options: GenerateOptions,
  ): Promise<GenerateResult> => {
    const [expected, found] = await Promise.all([
      cpu.generate(prompt, options),
      gpu.generate(prompt, options),
    ]);
    expect(withoutTimings(found)).toEqual(withoutTimings({ ...expected, seed: found.seed }));
    let streamed = "";
    for await (const { text } of gpu.stream(prompt, options)) {
      streamed += text;
    }
    expect(streamed).toBe(expected.newText);
    return found;
  };

  test("a stop string", async () => {
    const options = { doSample: false, stop: [" girl", "house"], maxNewTokens: 40 };
    expect((await expectSame(PROMPTS[0], options)).finishReason).toBe("stop");
  });

  test("a prompt that is cut", async () => {
    const options = { doSample: false, ignoreEos: true, maxPromptTokens: 3, maxNewTokens: 10 };
    expect((await expectSame(PROMPTS[0], options)).warnings).toHaveLength(1);
  });

  test("the end of the context", async () => {
    const ids = Array.from({ length: 90 }, (_, i) => 10 + i);
    const { finishReason, tokens } = await expectSame(ids, { doSample: false, ignoreEos: true });
    expect([finishReason, tokens.length]).toEqual(["context", 7]);
  });
});
