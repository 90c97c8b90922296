/** Decoding with tokens chosen here instead of on the device: for what the device cannot choose by. */
import type { DecodeRequest, Executable } from "../backend.ts";
import { throwIfAborted } from "../../base/errors.ts";
import { passOf } from "./prefill.ts";
import type { FollowedText } from "../grammar/grammar-thread.ts";
import type { AllowedTokens } from "../sampling/allowed-tokens.ts";
import { Sampler } from "../sampling/sampler.ts";

/** What is asked of a decode beside what devices can do. */
export interface HostChoice {
  /** What the text must be; undefined: any. It is told each token that is chosen. */
  readonly held: FollowedText | undefined;
  /** Called with the logits by which each token is chosen, before `onToken` is. */
  readonly onChosen: ((token: number, logits: Float32Array) => void) | undefined;
}

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
  { held, onChosen }: HostChoice = { held: undefined, onChosen: undefined },
): Promise<void> {
  const { slot, sourceLength, count, eosTokenIds, onToken } = request;
  let allowed: AllowedTokens = { mask: new Uint32Array(), mayEnd: true };
  const sampler = new Sampler(request.sampling, {
    vocabSize,
    promptIds: request.history,
    eosTokenIds,
    minNewTokens: request.minNewTokens,
    sequence: request.sequence,
    rules: request.rules,
    allowed: held && (() => allowed),
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
    // The mask was made while the pass went on.
    if (held !== undefined) {
      allowed = { mask: await held.mask(), mayEnd: (await held.ending()).mayEnd };
      throwIfAborted(signal);
    }
    const token = sampler.choose(logits, position);
    sampler.accept(token);
    onChosen?.(token, logits);
    const isEnd = eosTokenIds.includes(token);
    if (!isEnd) {
      held?.accept(token);
    }
    if (onToken(token) === false || isEnd || chosen === count) {
      return;
    }
    // A text that nothing may follow is over, whether or not the model would say so.
    if ((await held?.ending())?.mustEnd === true) {
      return;
    }
    throwIfAborted(signal);
    tokens = Int32Array.of(token);
  }
}
