/** The process that `probeAdapters` starts: it asks Dawn for the adapters and prints them as one line of JSON. */
import { errorMessage, ModelComposeError } from "../../../base/errors.ts";
import { enumerateAdapters } from "./enumerate.ts";

async function answer(): Promise<unknown> {
  try {
    return { adapters: await enumerateAdapters([]) };
  } catch (error) {
    return error instanceof ModelComposeError
      ? { error: { code: error.code, message: error.message, remedy: error.remedy } }
      : { error: { code: "device", message: errorMessage(error) } };
  }
}

// A driver may have left a line of its own without an end.
process.stdout.write(`\n${JSON.stringify(await answer())}\n`);
