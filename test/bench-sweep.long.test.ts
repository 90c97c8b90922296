/** Every variant of the GPU's kernels that the sweep tries is right, in narrow matrices on an adapter in software. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("the sweep finds all variants right", { timeout: 600_000 }, async () => {
  const script = join(import.meta.dirname, "../bench/sweep/sweep.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [
    script,
    "--narrow",
    "--adapter",
    "swiftshader",
  ]);
  for (const family of ["gemv, down", "gemm, o", "attention of one row", "attention of a block"]) {
    expect(stdout).toContain(family);
  }
  // What is wrong would have ended the process with an exit code.
  const counts = [...stdout.matchAll(/(\d+) of (\d+) right/g)].map(([, right, all]) => [right, all]);
  expect(counts.length).toBeGreaterThanOrEqual(8);
  for (const [right, all] of counts) {
    expect(right).toBe(all);
  }
});
