/** `npm run test:quick`: the inner loop. What it leaves out needs a GPU in software, a browser, or processes of its own. */
import { defineConfig } from "vitest/config";
import { shared } from "./vitest.config.ts";

const NEEDS_A_GPU = [
  "**/*.gpu.test.ts",
  "src/runtime/measure.test.ts",
  "src/runtime/webgpu/{backend,run/*,plan/token-choice}.test.ts",
  "test/{*-gpu,beam-search,contract,contract-programs,embeddings,generation-devices,kv-precision,late-context,prefill-modes,sequences}.test.ts",
];
const NEEDS_PROCESSES = [
  "test/{arrows,bench*,chat-command,cli,compose-examples,first-commands,first-minutes,hub-processes,lifecycle,make-checkpoint,models-command,server-processes}.test.ts",
  "test/{troubleshooting,webui,webui-chat,webui-server}.test.ts",
];
/** Whole models in every build and with several threads, or in an f64 interpreter; golden-memories.test.ts stays. */
const TAKES_LONG = ["test/{golden,programs}.test.ts"];

export default defineConfig({
  test: {
    ...shared,
    exclude: [...shared.exclude, ...NEEDS_A_GPU, ...NEEDS_PROCESSES, ...TAKES_LONG],
  },
});
