import { expect, test } from "vitest";
import { formatBytes } from "./bytes.ts";

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
