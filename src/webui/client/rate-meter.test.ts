import { expect, test } from "vitest";
import { RateMeter } from "./rate-meter.ts";

test("a steady stream has its rate, whatever the size of its pieces", () => {
  const single = new RateMeter();
  for (let at = 0; at <= 1000; at += 50) {
    single.add(1, at);
  }
  expect(single.rate(1000)).toBeCloseTo(20);
  const pieces = new RateMeter();
  for (let at = 0; at <= 1000; at += 250) {
    pieces.add(5, at);
  }
  expect(pieces.rate(1000)).toBeCloseTo(20);
});

test("it forgets what was more than some seconds ago", () => {
  const meter = new RateMeter();
  for (let at = 0; at <= 10_000; at += 100) {
    meter.add(1, at);
  }
  for (let at = 10_050; at <= 15_000; at += 50) {
    meter.add(2, at);
  }
  expect(meter.rate(15_000)).toBeCloseTo(40);
});

test("a first piece that is large does not count: nobody knows how long it took", () => {
  const meter = new RateMeter();
  meter.add(500, 0);
  expect(meter.rate(0)).toBeUndefined();
  meter.add(1, 100);
  meter.add(1, 200);
  expect(meter.rate(200)).toBeCloseTo(10);
});

test("one token in some seconds is a rate too", () => {
  const meter = new RateMeter();
  for (let at = 0; at <= 20_000; at += 4000) {
    meter.add(1, at);
  }
  expect(meter.rate(20_000)).toBeCloseTo(0.25);
});

test("it falls when nothing more comes", () => {
  const meter = new RateMeter();
  for (let at = 0; at <= 1000; at += 100) {
    meter.add(1, at);
  }
  expect(meter.rate(1150)).toBeCloseTo(10);
  expect(meter.rate(10_000)).toBeCloseTo(1);
});

test("texts of which nobody counts the tokens have no rate", () => {
  const meter = new RateMeter();
  for (let at = 0; at < 1000; at += 100) {
    meter.add(0, at);
  }
  expect(meter.rate(1000)).toBeUndefined();
});
