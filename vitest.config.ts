import { configDefaults, defineConfig } from "vitest/config";
import LongestFirst from "./test/support/longest-first.ts";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // The long tests take minutes: see vitest.long.config.ts.
    exclude: [...configDefaults.exclude, "**/*.long.test.ts"],
    globalSetup: ["test/support/software-gpu.ts", "test/support/built-program.ts"],
    sequence: { sequencer: LongestFirst },
    // Tests start worker threads of their own; processes keep them (and their memories) apart.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
