/**
 * Decodes that run side by side on the CPU, in numbers: whoever comes and goes, and whatever is drafted, each has the tokens that it
 * has alone.
 */
import { expect, test } from "vitest";
import type { DecodeRequest } from "../src/runtime/backend.ts";
import { greedyRequest, loadGolden, openGolden } from "./support/golden.ts";
import { CONTEXT, expectSameOnCpu } from "./support/side-by-side.ts";

// More sequences than one pass has rows for, once; side-by-side.long.test.ts has as many in the other settings.
test.each([
  ["smollm3-bf16", "none", 1, undefined, 70],
  ["smollm3-bf16", "int4", 2, 3, 24],
  ["gpt2", "none", 3, 2, 24],
] as const)(
  "%s, quantization %s, threads %i, drafts %s, %i sequences",
  async (name, quantization, threads, drafts, sequences) => {
    await expectSameOnCpu(name, { quantization, threads, drafts, sequences });
  },
);

test("drafts that are right save passes, also those from what was written; without them each token takes one", async () => {
  const golden = await openGolden("smollm3-bf16");
  const executable = await loadGolden(golden, { threads: 2, drafts: 3 }, { contextLength: CONTEXT });
  try {
    const passes = async (change: Partial<DecodeRequest>): Promise<number | undefined> => {
      // The text of this model repeats itself, and its prompt has nothing of it.
      const request = greedyRequest([7], 100, () => true);
      return (await executable.decode({ ...request, ...change })).passes;
    };
    expect(await passes({ promptLookup: false })).toBe(99);
    expect(await passes({})).toBeLessThan(90);
  } finally {
    await executable.dispose();
  }
});
