/** A server under 2,000 requests of the largest size: its memory stays bounded, and what it cannot keep is refused. */
import { expect, test } from "vitest";
import { flood } from "./support/flood.ts";

const REQUESTS = 2000;

// Without a bound in bytes the heap was full, and the process gone, after 320 of them.
test.skipIf(process.platform !== "linux")(
  "the memory of a server is bounded",
  { timeout: 300_000 },
  async () => {
    const { statuses, peakBytes, health, listLength } = await flood(REQUESTS);
    const [taken, refused] = [statuses.get(200) ?? 0, statuses.get(429) ?? 0];
    expect(taken + refused).toBe(REQUESTS);
    expect(taken).toBeGreaterThan(10);
    expect(refused).toBeGreaterThan(REQUESTS / 2);
    expect(peakBytes).toBeLessThan(1.2e9);
    expect(health).toBe(200);
    expect(listLength).toBeLessThan(100_000);
  },
);
