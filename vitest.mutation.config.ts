/** For `npm run test:mutation`: the tests that run in a process and need neither GPU, browser nor the built program. */
import { defineConfig, mergeConfig } from "vitest/config";
import quick from "./vitest.quick.config.ts";

export default mergeConfig(quick, defineConfig({ test: { reporters: [], testTimeout: 20_000 } }));
