/** Decodes that run side by side on the GPU: each has the tokens that it has alone, and they share passes. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { AbortError } from "../src/base/errors.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/run/executable.ts";
import { MOST_LANES } from "../src/runtime/webgpu/plan/token-choice.ts";
import { GPU } from "./support/devices.ts";
import { greedyRequest, openGolden } from "./support/golden.ts";
import { randomSource } from "./support/numbers.ts";
import { expectSameSideBySide, planSequence } from "./support/side-by-side.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** Two sequences have to wait for one to end. */
const SLOTS = MOST_LANES + 2;
const CONTEXT = 25;
const MOST_TOKENS = 9;

let executable: WebGpuExecutable;
beforeAll(async () => {
  executable = await GPU.load(await openGolden("smollm3-bf16"), { contextLength: CONTEXT, slots: SLOTS });
});
afterAll(async () => {
  await executable.dispose();
});

/** Counts submits while something runs. */
async function submitsOf(run: () => Promise<unknown>): Promise<number> {
  const submit = vi.spyOn(executable.resources.context.device.queue, "submit");
  try {
    await run();
    return submit.mock.calls.length;
  } finally {
    submit.mockRestore();
  }
}

test("whoever comes and goes, each has the tokens that it has alone", async () => {
  const random = randomSource(11);
  const options = { context: CONTEXT, hasRules: false };
  await expectSameSideBySide(
    executable,
    Array.from({ length: SLOTS }, () => {
      const sequence = planSequence(random, options);
      // Close behind one another, so that all lanes are taken for some steps.
      const count = Math.min(sequence.change.count ?? 0, MOST_TOKENS);
      return { ...sequence, change: { ...sequence.change, count }, startAfter: sequence.startAfter % 3 };
    }),
  );
});

test("texts of the same length share their passes", async () => {
  const texts = 5;
  const decodes = (count: number) => (): Promise<unknown> =>
    Promise.all(
      Array.from({ length: count }, (_, slot) =>
        executable.decode(greedyRequest([slot + 1], 20, () => true, { slot })),
      ),
    );
  const one = await submitsOf(decodes(1));
  expect(one).toBe(20);
  // They are noticed one by one: the first goes on alone for a few steps.
  expect(await submitsOf(decodes(texts))).toBeLessThan(2 * one);
});

test("one that is aborted, or whose caller throws, leaves the others alone", async () => {
  const tokensOf = async (slot: number, found: number[]): Promise<number[]> => {
    await executable.decode(greedyRequest([slot + 7], 24, (token) => (found.push(token), true), { slot }));
    return found;
  };
  const alone = [await tokensOf(0, []), await tokensOf(1, [])];
  const abort = new AbortController();
  const [first, second, aborted, thrown] = await Promise.allSettled([
    tokensOf(0, []),
    tokensOf(1, []),
    executable.decode(
      greedyRequest([3], 24, () => (abort.abort(), true), { slot: 2 }),
      abort.signal,
    ),
    executable.decode(
      greedyRequest(
        [4],
        24,
        () => {
          throw new RangeError("the caller's own");
        },
        { slot: 3 },
      ),
    ),
  ]);
  expect([first, second].map((outcome) => outcome.status === "fulfilled" && outcome.value)).toEqual(alone);
  expect(aborted.status === "rejected" && aborted.reason).toBeInstanceOf(AbortError);
  expect(thrown.status === "rejected" && thrown.reason).toEqual(new RangeError("the caller's own"));
});
