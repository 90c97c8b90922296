import { expect, test } from "vitest";
import { parseDuration } from "./duration.ts";

test.each<[unknown, number | undefined]>([
  [0, 0],
  [1.5, 1500],
  ["2", 2000],
  ["10ms", 10],
  [" 5s ", 5000],
  ["0.5m", 30_000],
  ["1h", 3_600_000],
  ["1 d", 86_400_000],
  ["25d", undefined],
  [-1, undefined],
  [Number.NaN, undefined],
  ["", undefined],
  ["s", undefined],
  ["5 minutes", undefined],
  ["1h30m", undefined],
  [null, undefined],
  [true, undefined],
  [[1], undefined],
])("%j is %j ms", (value, milliseconds) => {
  expect(parseDuration(value)).toBe(milliseconds);
});
