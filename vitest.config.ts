import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";
import LongestFirst from "./test/support/longest-first.ts";

type TestOptions = NonNullable<ViteUserConfig["test"]>;

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

/** What all runs of tests have in common. */
export const shared = {
  include: ["src/**/*.test.ts", "test/**/*.test.ts"],
  // The long tests take minutes: see vitest.long.config.ts.
  exclude: [...configDefaults.exclude, "**/*.long.test.ts"],
  globalSetup: ["test/support/software-gpu.ts", "test/support/built-program.ts"],
  setupFiles: [
    "test/support/bundled-workers.ts",
    "test/support/paced-gpu.ts",
    "test/support/forget-secrets.ts",
  ],
  sequence: { sequencer: LongestFirst },
  // Tests start worker threads of their own; processes keep them (and their memories) apart.
  pool: "forks",
  maxWorkers: 2,
  execArgv,
  testTimeout: 60_000,
  hookTimeout: 60_000,
} as const satisfies TestOptions;

/**
 * Rooms whose tests replace no modules for others, end no processes and hold no memories: they share a process, whose start and
 * whose imports would take longer than most of them.
 */
const TOGETHER = [
  "src/{base,compose,cli,kernels,registry,server,webui}/**/*.test.ts",
  "src/models/**/!(http).test.ts",
  "src/runtime/*.test.ts",
  "src/runtime/{sampling,grammar,generation,checkpoint}/**/*.test.ts",
  "src/runtime/wasm/!(backend|shared-work).test.ts",
  // That of token choice has a GPU.
  "src/runtime/webgpu/plan/!(token-choice).test.ts",
];

const { include, exclude, pool, setupFiles, testTimeout, hookTimeout } = shared;
const project = { pool, execArgv, setupFiles, testTimeout, hookTimeout };

export default defineConfig({
  test: {
    ...shared,
    projects: [
      { test: { ...project, name: "apart", include, exclude: [...exclude, ...TOGETHER] } },
      { test: { ...project, name: "together", include: TOGETHER, exclude, isolate: false } },
    ],
  },
});
