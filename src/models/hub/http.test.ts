/** Tests of when a transfer is tried again, on a clock of their own. */
import { beforeEach, expect, test, vi } from "vitest";
import { HubHttp, Retries, Transient } from "./http.ts";

const pauses: number[] = [];
vi.mock("node:timers/promises", () => ({
  setTimeout: (milliseconds: number) => {
    pauses.push(milliseconds);
    return Promise.resolve();
  },
}));

beforeEach(() => {
  pauses.length = 0;
});

const limits = {
  attempts: 12,
  backoff: 1000,
  maxBackoff: 30_000,
  maxRetryAfter: 300_000,
  stall: 1,
  slow: 1,
  leastBytes: 1,
};

function retries(notices: string[] = []): Retries {
  const http = new HubHttp({
    endpoint: "https://hub.invalid",
    limits,
    onNotice: (line) => notices.push(line),
  });
  return new Retries(http, "the file");
}

test("pauses double, half of each by chance, up to a longest one; then it is over", async () => {
  const again = retries();
  for (let failure = 1; failure < limits.attempts; failure++) {
    await again.afterFailure(new Transient("no"));
    const most = Math.min(1000 * 2 ** (failure - 1), 30_000);
    expect(pauses[failure - 1]).toBeGreaterThanOrEqual(most / 2);
    expect(pauses[failure - 1]).toBeLessThanOrEqual(most);
  }
  await expect(again.afterFailure(new Transient("no"))).rejects.toMatchObject({
    code: "download",
    message: expect.stringContaining("Fetching the file failed 12 times in a row: no.") as string,
  });
});

test("what has arrived in between begins the count anew", async () => {
  const again = retries();
  for (let i = 0; i < 30; i++) {
    await again.afterFailure(new Transient("no"));
    again.progressed();
  }
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1000);
});

test("a server may ask for a longer pause, up to a limit", async () => {
  const notices: string[] = [];
  const again = retries(notices);
  await again.afterFailure(new Transient("busy", { retryAfter: 60_000 }));
  expect(pauses).toEqual([60_000]);
  expect(notices).toEqual(["Fetching the file: busy; goes on in 60 s."]);
  await expect(again.afterFailure(new Transient("busy", { retryAfter: 300_001 }))).rejects.toThrow(
    "It asks to wait 301 seconds.",
  );
});

test("what trying again does not mend is thrown as it is", async () => {
  const error = new Error("a bug");
  await expect(retries().afterFailure(error)).rejects.toBe(error);
  expect(pauses).toEqual([]);
});
