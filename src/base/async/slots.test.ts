import { describe, expect, test } from "vitest";
import { QueueFullError, RunQueue } from "../../compose/run/run-queue.ts";
import { Slots } from "./slots.ts";

/** Lets everything that can go on go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Work that ends when it is told to. */
function work(): { start: () => Promise<void>; end: () => void; hasStarted: boolean } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const handle = {
    hasStarted: false,
    start: () => {
      handle.hasStarted = true;
      return promise;
    },
    end: resolve,
  };
  return handle;
}

describe("slots", () => {
  test("first come, first served; a slot goes to the next in line", async () => {
    const slots = new Slots(1);
    const [a, b, c] = [work(), work(), work()];
    const running = [a, b, c].map(({ start }) => slots.run(start));
    await turn();
    expect([a.hasStarted, b.hasStarted, slots.waiting]).toEqual([true, false, 2]);
    a.end();
    await running[0];
    await turn();
    expect([b.hasStarted, c.hasStarted, slots.taken]).toEqual([true, false, 1]);
    b.end();
    c.end();
    await Promise.all(running);
    expect([slots.taken, slots.waiting]).toEqual([0, 0]);
  });

  test("a failure gives the slot back", async () => {
    const slots = new Slots(1);
    await expect(slots.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(slots.run(() => Promise.resolve(1))).resolves.toBe(1);
  });

  test("who is aborted leaves the line", async () => {
    const slots = new Slots(1);
    const a = work();
    const first = slots.run(a.start);
    const controller = new AbortController();
    const second = slots.run(() => Promise.resolve(), controller.signal);
    controller.abort(new Error("left"));
    await expect(second).rejects.toMatchObject({ code: "aborted", cause: new Error("left") });
    expect(slots.waiting).toBe(0);
    await expect(slots.run(() => Promise.resolve(), controller.signal)).rejects.toMatchObject({
      code: "aborted",
    });
    a.end();
    await first;
    expect(slots.taken).toBe(0);
  });

  test("0 is no bound", async () => {
    const slots = new Slots(0);
    const all = Array.from({ length: 50 }, work);
    const running = all.map(({ start }) => slots.run(start));
    await turn();
    expect(all.every(({ hasStarted }) => hasStarted)).toBe(true);
    for (const { end } of all) {
      end();
    }
    await Promise.all(running);
  });
});

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
