/** More options with which both devices must give the same text; see generation-devices.test.ts. */
import { vi } from "vitest";
import { describeDraws, PLAIN, useDevices } from "./support/generation-devices-suite.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

describeDraws(useDevices(), [
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
]);
