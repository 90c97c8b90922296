import { expect, test } from "vitest";
import { formatBytes, parseBytes } from "./bytes.ts";

test.each([
  [0, "0 bytes"],
  [10.4, "10 bytes"],
  [999, "999 bytes"],
  [64_000, "64.0 kB"],
  [554_914, "555 kB"],
  [1e6, "1.0 MB"],
  [36_150_000, "36.1 MB"],
  [260e6, "260 MB"],
  [6.15e9, "6.15 GB"],
  [141e9, "141.00 GB"],
])("%d", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  ["1", 1],
  ["512", 512],
  ["800000000", 800_000_000],
  ["1MB", 1_000_000],
  ["1.5 mb", 1_500_000],
  [" 8 GB ", 8_000_000_000],
  [".5kB", 500],
  ["2KiB", 2048],
  ["7.5GiB", 7.5 * 2 ** 30],
  ["1TB", 1e12],
  ["1TiB", 2 ** 40],
  ["1.0005 kB", 1000],
  ["0", undefined],
  ["0.9", undefined],
  ["-1", undefined],
  ["1 Mbit", undefined],
  ["1e9", undefined],
  ["MB", undefined],
  ["", undefined],
  ["1 2", undefined],
  ["9999999TB", undefined],
])("%j is %j bytes", (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});
