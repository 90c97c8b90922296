/** `npm run test:long`: the tests that take minutes, and nothing else. */
import { configDefaults, defineConfig } from "vitest/config";
import { shared } from "./vitest.config.ts";

export default defineConfig({
  test: {
    ...shared,
    include: ["src/**/*.long.test.ts", "test/**/*.long.test.ts"],
    exclude: configDefaults.exclude,
  },
});
