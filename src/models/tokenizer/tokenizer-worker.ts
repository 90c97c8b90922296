/**
 * Worker entry: reads and parses one tokenizer.json and hands it over slice by slice, each when it is asked for, so
 * that the thread that asks never has more than one slice to take in at a time.
 */
import { errorMessage, ModelComposeError } from "../../runtime/errors.ts";
import type { ErrorCode } from "../../runtime/errors.ts";
import { readSmallFile } from "../../runtime/platform/files.ts";
import { workerScope } from "../../runtime/platform/workers.ts";
import { parseDefinition, type DefinitionPart } from "./definition.ts";

/** What the worker is started with. */
export interface TokenizerWorkerData {
  file: string;
  specialNames: readonly string[];
}

/** The answer to each message (of any content). After "end" or "failed" there is no other. */
export type TokenizerWorkerAnswer =
  | DefinitionPart
  | { kind: "end" }
  | { kind: "failed"; code: ErrorCode | undefined; message: string };

const { port, data } = workerScope();
const { file, specialNames } = data as TokenizerWorkerData;
let parts: Generator<DefinitionPart, void, undefined> | undefined;

async function nextPart(): Promise<TokenizerWorkerAnswer> {
  try {
    parts ??= parseDefinition(await readSmallFile(file), file, specialNames);
    const { value } = parts.next();
    return value ?? { kind: "end" };
  } catch (error) {
    const code = error instanceof ModelComposeError ? error.code : undefined;
    return { kind: "failed", code, message: errorMessage(error) };
  }
}

port.on("message", () => {
  void nextPart().then((answer) => {
    port.postMessage(answer);
  });
});
