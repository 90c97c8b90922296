/** Decoding with tokens chosen here instead of on the device: for what the device cannot choose by. */
import type { DecodeRequest, Executable } from "../backend.ts";
import { throwIfAborted } from "../../base/errors.ts";
import { passOf } from "./prefill.ts";
import { Sampler } from "../sampling/sampler.ts";

/**
 * Does what Executable.decode does, with a pass and a readback of logits for each token.
 *
 * @throws what `Executable.run` and `Sampler.choose` throw, and AbortError
 */
export async function decodeOnHost(
  executable: Executable,
  request: DecodeRequest,
  vocabSize: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { slot, sourceLength, count, eosTokenIds, onToken } = request;
  const sampler = new Sampler(request.sampling, {
    vocabSize,
    promptIds: request.history,
    eosTokenIds,
    minNewTokens: request.minNewTokens,
    sequence: request.sequence,
    rules: request.rules,
  });
  let { tokens, position } = request;
  for (let chosen = 1; ; chosen++) {
    const { logits } = await executable.run(
      {
        ...passOf({ rows: tokens, position }, slot),
        sourceLength,
        logitRows: Int32Array.of(tokens.length - 1),
        onProgress: chosen === 1 ? request.onProgress : undefined,
      },
      signal,
    );
    position += tokens.length;
    const token = sampler.choose(logits, position);
    sampler.accept(token);
    if (onToken(token) === false || eosTokenIds.includes(token) || chosen === count) {
      return;
    }
    throwIfAborted(signal);
    tokens = Int32Array.of(token);
  }
}
