import { describe, expect, test } from "vitest";
import { AbortError } from "../errors.ts";
import { Mutex, withAbort } from "./mutex.ts";

/** A promise to be settled by hand. */
function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((onResolve, onReject) => ([resolve, reject] = [onResolve, onReject]));
  return { promise, resolve, reject };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("Mutex", () => {
  test("one after another, in the order of the calls, with their results", async () => {
    const mutex = new Mutex();
    const log: string[] = [];
    const gates = [deferred(), deferred(), deferred()];
    const calls = gates.map((gate, i) =>
      mutex.run(async () => {
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
    const mutex = new Mutex();
    const failing = mutex.run(() => Promise.reject(new Error("late")));
    const throwing = mutex.run(() => {
      throw new Error("at once");
    });
    const next = mutex.run(() => Promise.resolve("next"));
    await expect(failing).rejects.toThrow("late");
    await expect(throwing).rejects.toThrow("at once");
    expect(await next).toBe("next");
  });

  test("a signal that fires while waiting rejects at once; others keep their order", async () => {
    const mutex = new Mutex();
    const gate = deferred();
    const log: string[] = [];
    const first = mutex.run(() => gate.promise);
    const abort = new AbortController();
    const second = mutex.run(() => {
      log.push("second");
      return Promise.resolve();
    }, abort.signal);
    const third = mutex.run(() => {
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
    const mutex = new Mutex();
    let hasRun = false;
    const task = (): Promise<void> => {
      hasRun = true;
      return Promise.resolve();
    };
    await expect(mutex.run(task, AbortSignal.abort())).rejects.toThrow(AbortError);
    expect(hasRun).toBe(false);
    const abort = new AbortController();
    const running = mutex.run(() => {
      abort.abort();
      return Promise.resolve("the task decides");
    }, abort.signal);
    expect(await running).toBe("the task decides");
  });
});

test("a wait that was given up before it began may still fail", async () => {
  const wait = new Promise((_, reject) => setTimeout(reject, 1, new Error("too late to matter")));
  await expect(withAbort(wait, AbortSignal.abort())).rejects.toThrow(AbortError);
  await new Promise((resolve) => setTimeout(resolve, 5)); // an unhandled rejection would fail the run
});
