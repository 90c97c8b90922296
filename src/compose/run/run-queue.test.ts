import { describe, expect, test } from "vitest";
import { turn, work } from "../../../test/support/work.ts";
import { QueueFullError, RunQueue } from "./run-queue.ts";

describe("the queue of a server's runs", () => {
  test("refuses more than may wait, and says when to come again from how long runs take", async () => {
    let now = 0;
    const queue = new RunQueue({ maxConcurrentCount: 2, maxQueueCount: 1 }, () => now);
    const [a, b, c] = [work(), work(), work()];
    const running = [a, b, c].map(({ start }) => queue.run(start));
    await turn();
    expect([queue.running, queue.waiting]).toEqual([2, 1]);
    await expect(queue.run(() => Promise.resolve())).rejects.toMatchObject({ retryAfterSeconds: 1 });
    now = 10_000;
    a.end();
    await running[0];
    const last = queue.run(() => Promise.resolve());
    const refused: unknown = await queue.run(() => Promise.resolve()).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(QueueFullError);
    expect(refused).toMatchObject({ retryAfterSeconds: 5 });
    expect((refused as Error).message).toContain("controller.max_queue_count");
    b.end();
    c.end();
    await Promise.all([...running, last]);
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  test("without a bound nothing waits", async () => {
    const queue = new RunQueue({ maxConcurrentCount: 0, maxQueueCount: 0 });
    await expect(Promise.all([1, 2, 3].map((n) => queue.run(() => Promise.resolve(n))))).resolves.toEqual([
      1, 2, 3,
    ]);
  });
});
