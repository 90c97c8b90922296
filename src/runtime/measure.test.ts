import { expect, test } from "vitest";
import { HashedExecutable } from "../../test/support/hashed-executable.ts";
import { loadGolden, openGolden } from "../../test/support/golden.ts";
import { combinedRate, measureRead, workerRates } from "./measure.ts";

test("the workers together are as fast as what all did in the time of the slowest", () => {
  const workers = [
    { amount: 30, seconds: 2 },
    { amount: 10, seconds: 4 },
  ];
  expect(combinedRate(workers)).toBe(10);
});

test("the CPU's reads, by its three loops, and its multiply-adds", async () => {
  const executable = await loadGolden(await openGolden("smollm3-bf16"), { threads: 2 });
  try {
    const rates = await measureRead(executable);
    expect([...rates.keys()]).toEqual(["read", "read4", "read-wide"]);
    for (const rate of rates.values()) {
      expect(rate).toBeGreaterThan(1e6);
    }
    expect(Math.min(...(await workerRates(executable, "fma")))).toBeGreaterThan(1e6);
  } finally {
    await executable.dispose();
  }
});

test("an executable of no known device is refused", async () => {
  const executable = new HashedExecutable({ vocabSize: 8, slots: 1, contextLength: 8, maxRows: 8 });
  await expect(measureRead(executable)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("The device hashed has no measurement of its reads") as string,
  });
});
