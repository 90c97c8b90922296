import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { runAtOnce, runInSlices } from "./slices.ts";

/** Work of many steps, each of which takes a time of a clock that stands still otherwise. */
class Clock {
  time = 0;
  readonly now = (): number => this.time;

  *work<T>(
    steps: number,
    stepTime: number,
    result: T,
    onStep: () => void = () => undefined,
  ): Generator<undefined, T> {
    for (let i = 0; i < steps; i++) {
      this.time += stepTime;
      onStep();
      yield;
    }
    return result;
  }
}

describe("runInSlices", () => {
  test("some milliseconds of work a turn of the event loop", async () => {
    const clock = new Clock();
    /** The time at which each turn found the clock. */
    const turns: number[] = [];
    let isDone = false;
    const turning = (async () => {
      while (!isDone) {
        turns.push(clock.time);
        await nextTurn();
      }
    })();
    expect(await runInSlices(clock.work(100, 1, "made"), undefined, clock.now)).toBe("made");
    isDone = true;
    await turning;
    expect(clock.time).toBe(100);
    const slices = turns.slice(1).map((time, i) => time - (turns[i] ?? 0));
    expect(Math.max(...slices)).toBeLessThanOrEqual(5);
  });

  test("one slice a turn, whoever has work, and all take turns", async () => {
    const clock = new Clock();
    const turns: number[] = [];
    let left = 3;
    const turning = (async () => {
      while (left > 0) {
        turns.push(clock.time);
        await nextTurn();
      }
    })();
    const ends: string[] = [];
    const run = async (name: string, steps: number): Promise<void> => {
      await runInSlices(clock.work(steps, 1, name), undefined, clock.now);
      ends.push(name);
      left--;
    };
    await Promise.all([run("long", 60), run("short", 10), run("middle", 30)]);
    await turning;
    expect(ends).toEqual(["short", "middle", "long"]);
    const slices = turns.slice(1).map((time, i) => time - (turns[i] ?? 0));
    expect(Math.max(...slices)).toBeLessThanOrEqual(5);
  });

  test("ends when it is aborted, before it begins and between two slices", async () => {
    const clock = new Clock();
    let steps = 0;
    const begun = runInSlices(
      clock.work(1000, 1, 0, () => steps++),
      AbortSignal.abort("early"),
      clock.now,
    );
    await expect(begun).rejects.toMatchObject({ code: "aborted", cause: "early" });
    expect(steps).toBe(0);

    const controller = new AbortController();
    const running = runInSlices(
      clock.work(1000, 1, 0, () => {
        steps++;
        if (steps === 12) {
          controller.abort("late");
        }
      }),
      controller.signal,
      clock.now,
    );
    await expect(running).rejects.toMatchObject({ code: "aborted", cause: "late" });
    expect(steps).toBe(15); // the slice in which it was aborted came to its end
  });

  test("what a step throws ends that work alone", async () => {
    const clock = new Clock();
    const fails = runInSlices(
      clock.work(10, 1, 0, () => {
        throw new RangeError("no");
      }),
      undefined,
      clock.now,
    );
    const goesOn = runInSlices(clock.work(20, 1, "made"), undefined, clock.now);
    await expect(fails).rejects.toThrow(RangeError);
    expect(await goesOn).toBe("made");
  });
});

test("runAtOnce takes all steps", () => {
  let steps = 0;
  const made = runAtOnce(new Clock().work(7, 1, "made", () => steps++));
  expect([made, steps]).toEqual(["made", 7]);
});
