/** Runs a program in a process of its own and reads the JSON that it prints. */
import { execFile } from "node:child_process";
import { basename } from "node:path";
import { promisify } from "node:util";
import { errorMessage, ModelComposeError } from "../../../src/base/errors.ts";

const MAX_OUTPUT_BYTES = 64 * 2 ** 20;
const SHOWN_LINES = 8;

/**
 * What a program prints to stdout, as JSON.
 *
 * @throws ModelComposeError where it fails or prints something else
 */
export async function jsonOf(program: string, args: readonly string[]): Promise<unknown> {
  const name = [program, args[0] ?? ""].map((path) => basename(path)).join(" ");
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)(program, args, { maxBuffer: MAX_OUTPUT_BYTES }));
  } catch (error) {
    const { stderr = "" } = error as { stderr?: string };
    const last = stderr.trimEnd().split("\n").slice(-SHOWN_LINES).join("\n");
    throw new ModelComposeError("remote", `"${name}" failed: ${last || errorMessage(error)}`, {
      cause: error,
    });
  }
  try {
    return JSON.parse(output) as unknown;
  } catch (error) {
    throw new ModelComposeError("remote", `"${name}" printed no JSON: ${output.slice(0, 200)}`, {
      cause: error,
    });
  }
}

/**
 * What a script of this folder prints, run by this Node.js.
 *
 * @param settings what the script gets, as JSON, in its first argument
 */
export function scriptResult(script: string, settings: object): Promise<unknown> {
  return jsonOf(process.execPath, [script, JSON.stringify(settings)]);
}
