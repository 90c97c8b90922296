/** Golden models whose layers lie in several WebAssembly memories of a worker, as those of large models do. */
import { expect, test } from "vitest";
import { WasmBackend } from "../src/runtime/wasm/backend.ts";
import { expectGreedy, expectLastLogits, openExactGolden } from "./support/accuracy.ts";

const CASES = [
  ["smollm3-bf16", 2, 700_000],
  ["codegen", 2, 620_000],
  ["blenderbot", 3, 500_000],
  ["blenderbot_small", 3, 500_000],
  ["bart", 3, 500_000],
] as const;

test.each(CASES)("%s, %i threads, memories of %i bytes", async (name, threads, bankLimit) => {
  const golden = await openExactGolden(name);
  const { program, checkpoint } = golden;
  const backend = new WasmBackend({ threads, bankLimit });
  const preparation = await backend.prepare(program, checkpoint, { contextLength: 64, slots: 1 });
  expect(preparation.plan.banks.length).toBeGreaterThan(1);
  const executable = await preparation.load();
  try {
    await expectLastLogits(executable, golden, { prompt: 2 });
    await expectGreedy(executable, golden, { prompt: 2, size: 256 });
  } finally {
    await executable.dispose();
  }
});
