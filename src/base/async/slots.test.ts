import { describe, expect, test } from "vitest";
import { turn, work } from "../../../test/support/work.ts";
import { AbortError } from "../errors.ts";
import { Slots } from "./slots.ts";

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

  test("a signal that fires once its turn has come takes no turn from others", async () => {
    const slots = new Slots(1);
    const [a, b, c] = [work(), work(), work()];
    const controller = new AbortController();
    const running = [slots.run(a.start), slots.run(b.start, controller.signal), slots.run(c.start)];
    await turn();
    a.end();
    await turn();
    expect(b.hasStarted).toBe(true);
    controller.abort();
    expect(slots.waiting).toBe(1);
    b.end();
    await turn();
    expect(c.hasStarted).toBe(true);
    c.end();
    await Promise.all(running);
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

describe("one slot", () => {
  test("one after another, in the order of the calls, with their results", async () => {
    const slots = new Slots(1);
    const log: string[] = [];
    const gates = [
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
    ];
    const calls = gates.map((gate, i) =>
      slots.run(async () => {
        log.push(`begin ${i}`);
        await gate.promise;
        log.push(`end ${i}`);
        return i;
      }),
    );
    gates[2].resolve();
    gates[1].resolve();
    await turn();
    expect(log).toEqual(["begin 0"]);
    gates[0].resolve();
    expect(await Promise.all(calls)).toEqual([0, 1, 2]);
    expect(log).toEqual(["begin 0", "end 0", "begin 1", "end 1", "begin 2", "end 2"]);
  });

  test("a task that fails, late or at once, lets the next one in", async () => {
    const slots = new Slots(1);
    const failing = slots.run(() => Promise.reject(new Error("late")));
    const throwing = slots.run(() => {
      throw new Error("at once");
    });
    const next = slots.run(() => Promise.resolve("next"));
    await expect(failing).rejects.toThrow("late");
    await expect(throwing).rejects.toThrow("at once");
    expect(await next).toBe("next");
  });

  test("a signal that fires while waiting rejects at once; others keep their order", async () => {
    const slots = new Slots(1);
    const gate = Promise.withResolvers<void>();
    const log: string[] = [];
    const first = slots.run(() => gate.promise);
    const abort = new AbortController();
    const second = slots.run(() => {
      log.push("second");
      return Promise.resolve();
    }, abort.signal);
    const third = slots.run(() => {
      log.push("third");
      return Promise.resolve();
    });
    abort.abort(new Error("enough"));
    await expect(second).rejects.toThrow(AbortError);
    await expect(second).rejects.toMatchObject({ code: "aborted", cause: new Error("enough") });
    await turn();
    expect(log).toEqual([]); // the third still waits for the first
    gate.resolve();
    await Promise.all([first, third]);
    expect(log).toEqual(["third"]);
  });

  test("a signal that fired before, or fires during the task", async () => {
    const slots = new Slots(1);
    let hasRun = false;
    const task = (): Promise<void> => {
      hasRun = true;
      return Promise.resolve();
    };
    await expect(slots.run(task, AbortSignal.abort())).rejects.toThrow(AbortError);
    expect(hasRun).toBe(false);
    const abort = new AbortController();
    const running = slots.run(() => {
      abort.abort();
      return Promise.resolve("the task decides");
    }, abort.signal);
    expect(await running).toBe("the task decides");
  });
});
