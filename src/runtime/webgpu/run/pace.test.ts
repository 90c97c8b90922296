import { expect, test } from "vitest";
import { Pace } from "./pace.ts";

test("sleeps for most of an interval, once one is known", () => {
  const pace = new Pace();
  expect(pace.milliseconds(0)).toBe(0);
  pace.tick(100);
  expect(pace.milliseconds(100)).toBe(0);
  pace.tick(120);
  expect(pace.milliseconds(120)).toBe(15);
  expect(pace.milliseconds(130)).toBe(5);
  expect(pace.milliseconds(134)).toBe(0); // not worth a timer
});

test("short intervals are polled", () => {
  const pace = new Pace();
  for (const now of [0, 3, 6]) {
    pace.tick(now);
  }
  expect(pace.milliseconds(6)).toBe(0);
});

test("follows faster results at once, slower ones step by step", () => {
  const pace = new Pace();
  for (const now of [0, 40, 80]) {
    pace.tick(now);
  }
  pace.tick(100);
  expect(pace.milliseconds(100)).toBe(15);
  pace.tick(200);
  expect(pace.milliseconds(200)).toBe(18);
  pace.tick(300);
  expect(pace.milliseconds(300)).toBe(23);
});
