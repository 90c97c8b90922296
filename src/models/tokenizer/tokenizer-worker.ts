/**
 * The entry of a worker, which reads and parses one tokenizer and hands it over slice by slice, each when it is asked
 * for, so that the thread that asks never has more than one slice to take in at a time.
 */
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { workerScope } from "../../runtime/platform/workers.ts";
import { parseSource, type DefinitionSource } from "./definition-source.ts";
import type { DefinitionPart } from "./definition.ts";

/** The answer to each message (of any content). After "end" or "failed" there is no other. */
export type TokenizerWorkerAnswer =
  DefinitionPart | { kind: "end" } | { kind: "failed"; code: ErrorCode | undefined; message: string };

const { port, data } = workerScope();
/** What the worker is started with. */
const source = data as DefinitionSource;
let parts: Generator<DefinitionPart, void, undefined> | undefined;

async function nextPart(): Promise<TokenizerWorkerAnswer> {
  try {
    parts ??= await parseSource(source);
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
