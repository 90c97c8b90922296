/**
 * The same request gives the same text on both devices. Given the same logits every device picks the same token
 * (token-choice.test.ts proves it bit by bit, for all options); the logits themselves differ by rounding. So the draws here are ones
 * that do not hang on it: each is repeated on logits that are off by far more than the devices differ. Every way to choose is
 * here once; generation-devices.long.test.ts has more of their combinations.
 */
import { describe, expect, test, vi } from "vitest";
import type { GenerateOptions, GenerateResult } from "../src/index.ts";
import { expectWithin } from "./support/accuracy.ts";
import {
  describeDraws,
  NOISE,
  PLAIN,
  PROMPTS,
  useDevices,
  withoutTimings,
} from "./support/generation-devices-suite.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** The largest difference between the devices' logits. */
const DIFFERENCE = NOISE / 10;

const devices = useDevices();

// Greedy, a rule, a plain draw, the nucleus, all at once, tokens at least, penalties, biases.
describeDraws(devices, [0, 2, 4, 8, 11, 13, 14, 15]);

test("the devices' logits differ by far less than the noise of these tests", async () => {
  const { cpu, gpu } = devices;
  for (const prompt of PROMPTS) {
    const { tokens } = await cpu.generate(prompt, { ...PLAIN, seed: 20, maxNewTokens: 30, ignoreEos: true });
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
    const { cpu, gpu } = devices;
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
