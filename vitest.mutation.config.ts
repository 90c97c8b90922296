/**
 * For `npm run test:mutation`: the tests that say what a room does. They run in a process and need neither GPU, browser nor the
 * built program; whole models would make every change take minutes.
 */
import { resolve } from "node:path";
import { defineConfig } from "vitest/config";
import { TESTS_VARIABLE } from "./scripts/mutation-rooms.ts";
import { shared } from "./vitest.config.ts";

export default defineConfig({
  resolve: {
    // Commands run in the process in which the code is changed.
    alias: [
      {
        find: /^.*\/support\/command\.ts$/,
        replacement: resolve(import.meta.dirname, "test/support/in-process-command.ts"),
      },
    ],
  },
  test: {
    ...shared,
    include: JSON.parse(process.env[TESTS_VARIABLE] ?? "[]") as string[],
    // Workers run the sources, which are what is changed.
    setupFiles: [],
    reporters: [],
    // Nothing is built: what needs the built program needs a process of its own.
    globalSetup: ["test/support/software-gpu.ts"],
    // Code that counts what runs takes a multiple of its time; Stryker ends what a change made endless.
    testTimeout: 120_000,
  },
});
