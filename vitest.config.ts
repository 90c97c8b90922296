import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // Those take minutes: see vitest.long.config.ts.
    exclude: [...configDefaults.exclude, "**/*.long.test.ts"],
    // Tests start worker threads of their own; processes keep them (and their memories) apart.
    globalSetup: ["test/support/software-gpu.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
