/** Does what every benchmark's command line does around its work. */
import { ModelComposeError } from "../../src/base/errors.ts";
import { Progress } from "./progress.ts";

/**
 * Runs `run` with the process's arguments and writes the result to stdout. What is wrong goes to stderr, with exit code
 * 2 for wrong usage and 1 for the rest.
 */
export async function runCommand(
  run: (args: string[], progress: Progress) => Promise<string>,
): Promise<void> {
  const progress = new Progress();
  try {
    const output = await run(process.argv.slice(2), progress);
    progress.clear();
    process.stdout.write(output);
  } catch (error) {
    progress.clear();
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.code === "usage" ? 2 : 1;
  }
}
