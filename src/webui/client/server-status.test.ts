import { expect, test } from "vitest";
import { bytesText, durationText, memoryText, sharedMemoryText, Throughput } from "./server-status.ts";
import type { WireTask } from "./wire.ts";

function task(id: string, tokens: number, isOver = false): WireTask {
  const usage = { prompt_tokens: 1, completion_tokens: tokens, total_tokens: tokens + 1 };
  const common = { task_id: id, workflow_id: "w", created_at: "2026-01-01T00:00:00Z" };
  return isOver ? { ...common, status: "completed", usage } : { ...common, status: "processing", tokens };
}

test("the rate is of what was written between looks, by all tasks", () => {
  const meter = new Throughput();
  expect(meter.rate).toBeUndefined();
  meter.look([task("a", 100)], 0);
  expect(meter.rate).toBeUndefined();
  meter.look([task("a", 120), task("b", 10)], 2000);
  expect(meter.rate).toBeCloseTo(15);
  // A task that has ended counts once more, to its end; one that was forgotten takes nothing away.
  meter.look([task("a", 130, true)], 4000);
  expect(meter.rate).toBeCloseTo(10);
  meter.look([task("a", 130, true)], 40_000);
  meter.look([task("a", 130, true)], 60_000);
  expect(meter.rate).toBe(0);
});

test("numbers for people", () => {
  expect([0, 999, 1000, 12_345, 999_600, 6.15e9, 2e15].map(bytesText)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "12.3 kB",
    "1.00 MB",
    "6.15 GB",
    "2000 TB",
  ]);
  expect([5, 60, 7300, 200_000].map(durationText)).toEqual(["5 s", "1 min", "2 h 1 min", "2 d 7 h"]);
  const model = {
    components: ["c"],
    model: "m",
    task: "chat-completion",
    loaded: true,
    state: "idle",
  } as const;
  expect(memoryText(model)).toBeUndefined();
  const memory = { weight_bytes: 6e9, kv_cache_bytes: 1e9, work_bytes: 5e6 };
  expect(memoryText({ ...model, memory })).toBe("6.00 GB weights, up to 1.00 GB KV cache, 5.00 MB work");
  expect([{ held_bytes: 3e9 }, { held_bytes: 3e9, budget_bytes: 8e9 }].map(sharedMemoryText)).toEqual([
    "3.00 GB",
    "3.00 GB of 8.00 GB",
  ]);
});
