/** Reads a tokenizer's definition from disk, and parses it away from the caller's thread when it is large. */
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { AbortError, errorMessage, ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import { startWorker, workerUrl } from "../../runtime/platform/workers.ts";
import { parseSource, sourceFile, sourceSize, type DefinitionSource } from "./definition-source.ts";
import type { DefinitionPart } from "./definition.ts";
import type { TokenizerWorkerAnswer } from "./tokenizer-worker.ts";

/** Bytes up to which parsing (30 to 40 ms per MiB) takes no longer than starting a worker. */
const INLINE_BYTES = 2 ** 20;

/**
 * The parts of a definition, header first. The caller's event loop turns between any two of them.
 *
 * @throws ModelComposeError as `parseSource`, AbortError.
 */
export async function* readDefinition(
  source: DefinitionSource,
  signal?: AbortSignal,
): AsyncGenerator<DefinitionPart, void, undefined> {
  if ((await sourceSize(source)) > INLINE_BYTES) {
    yield* readInWorker(source, signal);
    return;
  }
  for (const part of await parseSource(source)) {
    throwIfAborted(signal);
    yield part;
    await setImmediate();
  }
}

async function* readInWorker(
  data: DefinitionSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<DefinitionPart, void, undefined> {
  throwIfAborted(signal);
  const file = sourceFile(data);
  const entry = { source: "./tokenizer-worker.ts", bundled: "tokenizer-worker.js" };
  const worker = startWorker(workerUrl(import.meta.url, entry), { name: "model-compose tokenizer", data });
  const died = new AbortController();
  worker.on("error", (error) => {
    died.abort(error);
  });
  worker.on("exit", (code) => {
    died.abort(new Error(`it ended with exit code ${code}`));
  });
  const ends = AbortSignal.any(signal === undefined ? [died.signal] : [died.signal, signal]);
  try {
    for (;;) {
      const answered = once(worker, "message", { signal: ends });
      worker.postMessage("next");
      const [answer] = (await answered) as [TokenizerWorkerAnswer];
      if (answer.kind === "end") {
        return;
      }
      if (answer.kind === "failed") {
        throw failure(file, answer.code, answer.message);
      }
      yield answer;
    }
  } catch (error) {
    if (signal?.aborted) {
      throw new AbortError(signal.reason);
    }
    if (died.signal.aborted) {
      throw failure(file, undefined, errorMessage(died.signal.reason), died.signal.reason);
    }
    throw error;
  } finally {
    await worker.terminate();
  }
}

/** The error for a failure of the worker. One without a code is not about the file, but about the worker. */
function failure(
  file: string,
  code: ModelComposeError["code"] | undefined,
  message: string,
  cause?: unknown,
): ModelComposeError {
  if (code !== undefined) {
    return new ModelComposeError(code, message);
  }
  const outOfMemory = cause instanceof Error && "code" in cause && cause.code === "ERR_WORKER_OUT_OF_MEMORY";
  return new ModelComposeError(
    outOfMemory ? "out-of-memory" : "device",
    `The worker thread that reads "${file}" failed: ${message}.`,
    { remedy: outOfMemory ? "Free memory and load the model again." : "Reinstall model-compose.", cause },
  );
}
