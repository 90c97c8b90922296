/** The input of a workflow as the command line gives it: JSON, a file, stdin, or one field after the other. */
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { decodeText } from "../base/decode-text.ts";
import { errorMessage, ModelComposeError } from "../base/errors.ts";
import type { Terminal } from "./terminal.ts";

const EXAMPLE = `Write --input prompt="Once upon a time", or JSON: --input '{"prompt": "Once upon a time"}'`;

/**
 * @param given The values of `--input`: JSON, `@FILE` with JSON, `-` for JSON from stdin, or `KEY=VALUE`, of which several add up.
 *   A VALUE that begins with `@` is the text of a file.
 * @throws ModelComposeError "usage"
 */
export async function readInput(given: readonly string[], terminal: Terminal): Promise<unknown> {
  const fields = new Map<string, string>();
  let whole: { readonly value: unknown } | undefined;
  for (const text of given) {
    const [, key, value = ""] = /^([A-Za-z_][\w-]*)=([^]*)$/.exec(text) ?? [];
    if (key !== undefined) {
      if (fields.has(key)) {
        throw usage(`--input gives "${key}" twice.`, "Give it once.");
      }
      fields.set(key, value.startsWith("@") ? await readText(value.slice(1)) : value);
    } else if (whole === undefined) {
      whole = { value: await readWhole(text, terminal) };
    } else {
      throw usage("--input gives the whole input twice.", "Give it once, and single fields as KEY=VALUE.");
    }
  }
  if (fields.size === 0) {
    return whole === undefined ? {} : whole.value;
  }
  const { value = {} } = whole ?? {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw usage(
      "--input KEY=VALUE adds a field to an object, and the input is none.",
      "Give one or the other.",
    );
  }
  return { ...value, ...Object.fromEntries(fields) };
}

async function readWhole(text: string, terminal: Terminal): Promise<unknown> {
  if (text === "-") {
    if (process.stdin.isTTY) {
      terminal.note("Reading the input from the terminal; end it with Ctrl-D (Windows: Ctrl-Z).");
    }
    return parse(decodeText(await buffer(process.stdin), "The input from stdin"), "The input from stdin");
  }
  if (text.startsWith("@")) {
    const file = text.slice(1);
    return parse(await readText(file), `The file ${file} of --input`);
  }
  return parse(text, "--input");
}

async function readText(file: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const why = isMissing ? "does not exist" : `cannot be read: ${errorMessage(error)}`;
    throw usage(`The file ${file} of --input ${why}.`, "Check its name.", error);
  }
  return decodeText(bytes, `The file ${file} of --input`);
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const windows = process.platform === "win32" ? ` (in cmd: "{\\"prompt\\": \\"Once upon a time\\"}")` : "";
    throw usage(`${name} is not JSON: ${errorMessage(error)}.`, `${EXAMPLE}${windows}.`, error);
  }
}

function usage(message: string, remedy: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError("usage", message, { remedy, cause });
}
