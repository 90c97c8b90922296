import { configDefaults, defineConfig } from "vitest/config";
import LongestFirst from "./test/support/longest-first.ts";

/**
 * V8 13.6 keeps a list of pages of machine code for the processor's memory protection keys, and a race of workers that free
 * WebAssembly code ends the process now and then ("Check failed: jit_page.has_value()"; nodejs/node#64500). Tests start and end
 * workers by the hundred; others saw the crash go without the keys. Node 20 has no such flag.
 */
const [major] = process.versions.node.split(".").map(Number);
const execArgv =
  process.platform === "linux" && process.arch === "x64" && major >= 24
    ? ["--no-memory-protection-keys"]
    : [];

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
    execArgv,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
