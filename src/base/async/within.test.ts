import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { within } from "./within.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("what a promise gives or fails with in time; no timer stays", async () => {
  expect(await within(Promise.resolve(1), 1000)).toBe(1);
  await expect(within(Promise.reject(new Error("no")), 1000)).rejects.toThrow("no");
  expect(vi.getTimerCount()).toBe(0);
});

test("undefined when it takes longer", async () => {
  const late = within(new Promise(() => undefined), 1000);
  await vi.advanceTimersByTimeAsync(999);
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(await late).toBeUndefined();
});
