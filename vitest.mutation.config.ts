/**
 * For `npm run test:mutation`: the tests that say what a room does. They run in a process and need neither GPU, browser nor the
 * built program; whole models would make every change take minutes.
 */
import { configDefaults, defineConfig } from "vitest/config";
import quick from "./vitest.quick.config.ts";

export default defineConfig({
  test: {
    ...quick.test,
    include: [
      "src/**/*.test.ts",
      "test/{server,tasks,hub-fetch,hub-access,pytorch-checkpoint,beam-generation,sampling-golden}.test.ts",
    ],
    exclude: [
      ...(quick.test?.exclude ?? configDefaults.exclude),
      "src/kernels/**",
      "src/runtime/devices.test.ts",
    ],
    // Workers run the sources, which are what is changed.
    setupFiles: [],
    reporters: [],
    // Stryker runs tests in threads, which take no flags of V8.
    execArgv: [],
    testTimeout: 20_000,
  },
});
