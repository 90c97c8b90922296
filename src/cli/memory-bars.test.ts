import { expect, test } from "vitest";
import { memoryBars } from "./memory-bars.ts";

test("bars are as long as bytes, and their parts in proportion", () => {
  const lines = memoryBars([
    { name: "bfloat16", bytes: [6e9, 3e9, 1e9] },
    { name: "int4", bytes: [2e9, 0, 5e8] },
    { name: "tiny", bytes: [1e6, 1e6, 1e6] },
  ]);
  expect(lines).toEqual([
    `bfloat16  ${"█".repeat(24)}${"▓".repeat(12)}${"░".repeat(4)}  weights 6.00 GB, KV cache 3.00 GB, work 1.00 GB`,
    `int4      ${"█".repeat(8)}${"░".repeat(2)}${" ".repeat(30)}  weights 2.00 GB, KV cache 0 bytes, work 500 MB`,
    `tiny      ${" ".repeat(40)}  weights 1.0 MB, KV cache 1.0 MB, work 1.0 MB`,
    "",
    "█ weights  ▓ KV cache  ░ work",
  ]);
});
