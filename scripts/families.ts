/** `npm run families` prints the families of models that run here, from their one table, with each family's tests. */
import { familyTests } from "./family-tests.ts";

// A reader such as `head` may go before the end.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") {
    throw error;
  }
});
const rows = familyTests();
for (const { type, architectures, goldens, tests } of rows) {
  process.stdout.write(
    [
      type,
      `  classes   ${architectures.join(", ")}`,
      `  goldens   ${goldens.join(", ")}`,
      `  tests     ${tests.join("\n            ")}`,
      "",
      "",
    ].join("\n"),
  );
}
const untested = rows.filter(({ tests }) => tests.length === 0).map(({ type }) => type);
process.stdout.write(`${rows.length} families`);
process.stdout.write(
  untested.length === 0 ? ", each with tests.\n" : `; without tests: ${untested.join(", ")}.\n`,
);
process.exitCode = untested.length === 0 ? 0 : 1;
