/** What is asked of two devices that draw from the same model; the tests say with which options. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel, type GenerateOptions, type GenerateResult, type Model } from "../../src/index.ts";
import { Sampler } from "../../src/runtime/sampling/sampler.ts";
import { resolveGenerateOptions } from "../../src/runtime/generation/options.ts";
import { ADAPTER } from "./devices.ts";
import { modelPath } from "./golden.ts";
import { randomSource } from "./numbers.ts";
import { sequenceRules } from "./rules.ts";

/** The number that is added to logits, up or down. */
export const NOISE = 1e-3;
/** Number of repetitions of each draw. */
const REPETITIONS = 10;

const EOS = 1;
export const PROMPTS = ["Once upon a time", "The old dog", "One day, a girl named Lily"];

export interface Devices {
  cpu: Model;
  gpu: Model;
}

/** Loads the bundled model on both devices before the tests of a file, and ends it after them. */
export function useDevices(): Devices {
  const devices = {} as Devices;
  beforeAll(async () => {
    const directory = modelPath("tales");
    [devices.cpu, devices.gpu] = await Promise.all([
      loadModel(directory, { device: "wasm", threads: 2, contextLength: 96 }),
      loadModel(directory, { device: `webgpu:${ADAPTER}`, contextLength: 96 }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([devices.cpu.dispose(), devices.gpu.dispose()]);
  });
  return devices;
}

export const PLAIN = { doSample: true, temperature: 1, topK: 0, topP: 1, minP: 0 } as const;

/** Draws that do not hang on rounding, each with the prompt of its place. */
export const CASES: readonly GenerateOptions[] = [
  { doSample: false },
  { doSample: false, repetitionPenalty: 1.3 },
  { doSample: false, noRepeatNgramSize: 2 },
  { ...PLAIN, seed: 19 },
  { ...PLAIN, seed: 2 ** 53 - 1, sequence: [3, 2, 7] },
  { ...PLAIN, seed: 3, temperature: 0.6 },
  { ...PLAIN, seed: 4, temperature: 1.8, topK: 7 },
  { ...PLAIN, seed: 5, topK: 50, topP: 0.9 },
  { ...PLAIN, seed: 6, topP: 0.8, temperature: 1.2 },
  { ...PLAIN, seed: 7, minP: 0.05 },
  { ...PLAIN, seed: 8, topK: 1 },
  { ...PLAIN, seed: 9, topK: 40, topP: 0.95, minP: 0.02, repetitionPenalty: 1.2, temperature: 0.8 },
  { ...PLAIN, seed: 10, topK: 20, noRepeatNgramSize: 3, repetitionPenalty: 1.1 },
  { ...PLAIN, seed: 11, topK: 5, minNewTokens: 12, ignoreEos: false },
  { doSample: false, frequencyPenalty: 0.7, presencePenalty: 0.4 },
  { doSample: false, sequenceBias: [[[300], 6]] },
  { ...PLAIN, seed: 12, topK: 30, frequencyPenalty: 1.1, presencePenalty: -0.6 },
];

/** A result without the time that it took. */
export function withoutTimings(result: GenerateResult): object {
  return { ...result, timings: undefined };
}

/** The token that the CPU's sampler chooses at every step of a finished generation, from these logits. */
function choices(
  result: GenerateResult,
  promptIds: readonly number[],
  options: GenerateOptions,
  { vocabSize, logitsOf }: { vocabSize: number; logitsOf: (step: number) => Float32Array },
): number[] {
  const { sampling } = resolveGenerateOptions(options, {});
  const sampler = new Sampler(sampling, {
    vocabSize,
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

/** Declares the tests: the same tokens and text on both devices, with the options of these CASES. */
export function describeDraws(devices: Devices, cases: Iterable<number>): void {
  describe.each([...cases].map((i) => [JSON.stringify(CASES[i]), CASES[i], i] as const))(
    "%s",
    (_, options, i) => {
      test("the same tokens and text on both devices", async () => {
        const { cpu, gpu } = devices;
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
          const noisy = choices(expected, promptIds, request, {
            vocabSize: cpu.vocabSize,
            logitsOf: (step) => {
              const from = (promptIds.length - 1 + step) * cpu.vocabSize;
              return logits
                .slice(from, from + cpu.vocabSize)
                .map((logit) => logit + (2 * random() - 1) * NOISE);
            },
          });
          expect(noisy).toEqual(expected.tokens);
        }
      });
    },
  );
}
