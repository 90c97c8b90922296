import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { until } from "../../../test/support/http.ts";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { acquireBlobLock, type LockTimes, type LockWaiting } from "./blob-lock.ts";

const TIMES: LockTimes = { touch: 30, poll: 10, stale: 400, staleAfterEnd: 100 };
afterEach(() => void vi.restoreAllMocks());

const notDone = (): Promise<boolean> => Promise.resolve(false);

function acquire(path: string, waiting: Partial<LockWaiting> = {}): ReturnType<typeof acquireBlobLock> {
  return acquireBlobLock(path, { times: TIMES, isDone: notDone, ...waiting });
}

/** A lock that somebody else wrote. */
function writeLock(path: string, holder: object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(holder));
}

describe("the lock of a blob", () => {
  test("is held by one; the next gets it when it is free, and is told whom it waits for", async () => {
    const path = join(temporaryDirectory(), "locks", "abc");
    const first = await acquire(path);
    const told: (number | undefined)[] = [];
    let hasSecond = false;
    const second = acquire(path, { onWait: (holder) => told.push(holder) }).then((lock) => {
      hasSecond = true;
      return lock;
    });
    // This is longer than a lock lives that nobody touches.
    await new Promise((resolve) => setTimeout(resolve, 2 * TIMES.stale));
    expect(hasSecond).toBe(false);
    await first?.release();
    await (await second)?.release();
    expect(told).toEqual([process.pid]);
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  test("is not needed by who sees that the work is done", async () => {
    const path = join(temporaryDirectory(), "abc");
    const first = await acquire(path);
    let isDone = false;
    const second = acquire(path, { isDone: () => Promise.resolve(isDone) });
    isDone = true;
    expect(await second).toBeUndefined();
    expect(existsSync(path)).toBe(true);
    await first?.release();
    // The work was done between the last look and the lock.
    expect(await acquire(path, { isDone: () => Promise.resolve(true) })).toBeUndefined();
    expect(existsSync(path)).toBe(false);
  });

  test.each<[string, object, number]>([
    ["of a process that has ended, soon", { pid: 2 ** 22 + 1, host: hostname() }, TIMES.staleAfterEnd],
    ["of another machine, later", { pid: 1, host: "elsewhere" }, TIMES.stale],
    ["that says nothing, later", {}, TIMES.stale],
  ])("is taken over %s", async (_what, holder, patience) => {
    const path = join(temporaryDirectory(), "abc");
    writeLock(path, holder);
    let time = 0;
    vi.spyOn(performance, "now").mockImplementation(() => time);
    // Each time that the work is asked for, one pause of a poll has passed on the clock.
    const isDone = (): Promise<boolean> => {
      time += TIMES.poll;
      return Promise.resolve(false);
    };
    const lock = await acquire(path, { isDone });
    expect(time).toBeGreaterThan(patience);
    expect(time).toBeLessThanOrEqual(patience + 3 * TIMES.poll);
    expect(readFileSync(path, "utf8")).toContain(`"pid":${process.pid}`);
    await lock?.release();
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  test("of another machine is respected as long as it is touched, whatever its clock says", async () => {
    const path = join(temporaryDirectory(), "abc");
    writeLock(path, { pid: 1, host: "elsewhere" });
    let time = 1_000_000;
    const timer = setInterval(() => utimesSync(path, ++time, time), 50);
    const stop = AbortSignal.timeout(2 * TIMES.stale);
    await expect(acquire(path, { signal: stop })).rejects.toMatchObject({ code: "aborted" });
    clearInterval(timer);
    expect(readFileSync(path, "utf8")).toContain("elsewhere");
  });

  test("abandoned and wanted by many is had by one after the other", async () => {
    const path = join(temporaryDirectory(), "abc");
    writeLock(path, { pid: 2 ** 22 + 1, host: hostname() });
    let holders = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      const lock = await acquire(path);
      most = Math.max(most, ++holders);
      await new Promise((resolve) => setTimeout(resolve, 20));
      holders--;
      await lock?.release();
    };
    await Promise.all(Array.from({ length: 8 }, work));
    expect(most).toBe(1);
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  test("that was given back is nobody's to touch: it may be another's by now", async () => {
    const path = join(temporaryDirectory(), "abc");
    await (await acquire(path))?.release();
    writeLock(path, { pid: 1, host: "elsewhere" });
    utimesSync(path, 1000, 1000);
    await new Promise((resolve) => setTimeout(resolve, 4 * TIMES.touch));
    expect(statSync(path).mtimeMs).toBe(1_000_000);
  });

  test("is touched as long as it is held", async () => {
    const path = join(temporaryDirectory(), "abc");
    const lock = await acquire(path);
    utimesSync(path, 1000, 1000);
    await until("it is touched", () => statSync(path).mtimeMs > 1_000_000);
    await lock?.release();
  });

  test("is removed by one at a time: another's mark is waited for, unless its maker must have died", async () => {
    const path = join(temporaryDirectory(), "abc");
    const mark = `${path}.removing`;
    const first = await acquire(path);
    writeFileSync(mark, "another");
    const released = first?.release();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([existsSync(path), readFileSync(mark, "utf8")]).toEqual([true, "another"]);
    rmSync(mark);
    await released;
    expect(readdirSync(dirname(path))).toEqual([]);

    const second = await acquire(path);
    writeFileSync(mark, "dead");
    let time = 0;
    vi.spyOn(performance, "now").mockImplementation(() => (time += 1000));
    await second?.release();
    expect(time).toBeGreaterThan(5000);
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  test("is not taken from a process of this machine that lives, nor waited for by who has left", async () => {
    const path = join(temporaryDirectory(), "abc");
    writeLock(path, { pid: process.pid, host: hostname() });
    const told: (number | undefined)[] = [];
    const leave = new AbortController();
    const waiting = acquire(path, { signal: leave.signal, onWait: (holder) => told.push(holder) });
    const ended = expect(waiting).rejects.toMatchObject({ code: "aborted" });
    await until("it waits", () => told.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 2 * TIMES.staleAfterEnd));
    expect(existsSync(path)).toBe(true);
    leave.abort();
    await ended;
    expect(told).toEqual([process.pid]);
    await expect(acquire(path, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
  });
});
