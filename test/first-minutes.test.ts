/** What a newcomer copies from the README. */
import { expect, test } from "vitest";
import { blocksOf } from "./support/documentation.ts";
import { runCommands } from "./support/run-commands.ts";

test.skipIf(process.platform === "win32")(
  "lead from a clone to a prompt, a file and a server",
  async () => {
    // But those that fetch something: the clone, the packages, models.
    const blocks = blocksOf("README.md").filter(
      ({ info, text }) => info === "sh" && !/git clone|HuggingFaceTB/.test(text),
    );
    expect(blocks).toHaveLength(3);
    const stdout = await runCommands(blocks);
    for (const beginning of ["Once upon a time", "The old king", "The clever goose"]) {
      expect(stdout).toContain(beginning);
    }
  },
  60_000,
);
