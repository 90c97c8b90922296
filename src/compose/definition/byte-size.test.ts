import { expect, test } from "vitest";
import { parseByteSize } from "./byte-size.ts";

test.each<[unknown, number | undefined]>([
  [1, 1],
  ["512", 512],
  ["1MB", 1_000_000],
  ["1.5 mb", 1_500_000],
  ["2KiB", 2048],
  [0, undefined],
  [-1, undefined],
  [1.5, undefined],
  ["1 Mbit", undefined],
  ["MB", undefined],
  ["", undefined],
  [null, undefined],
  ["9999999GB", undefined],
])("%j is %j bytes", (value, bytes) => {
  expect(parseByteSize(value)).toBe(bytes);
});
