/** More sequences side by side on the CPU than one pass has rows for, in the settings that side-by-side.test.ts has with fewer. */
import { test } from "vitest";
import { expectSameOnCpu } from "./support/side-by-side.ts";

test.each([
  ["smollm3-bf16", "int4", 2, 3],
  ["gpt2", "none", 3, 2],
] as const)("%s, quantization %s, threads %i, drafts %s", async (name, quantization, threads, drafts) => {
  await expectSameOnCpu(name, { quantization, threads, drafts, sequences: 70 });
});
