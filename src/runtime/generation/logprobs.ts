/** How likely a model found tokens. */
import type { TextCodec } from "./generated-text.ts";
import type { TokenLogprob, TokenProbability } from "./types.ts";

/**
 * The log-probability of a token, and the likeliest tokens with theirs, from the model's own logits: log-softmax in f64.
 *
 * @param logits f32 [vocabulary], as the model gave them
 * @param count how many of the likeliest
 */
export function logprobOf(
  logits: Float32Array,
  token: number,
  count: number,
  codec: TextCodec | undefined,
): TokenLogprob {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  let sum = 0;
  for (const logit of logits) {
    sum += Math.exp(logit - highest);
  }
  const logSum = highest + Math.log(sum);
  const probability = (id: number): TokenProbability => {
    const bytes = codec?.tokenBytes?.(id) ?? new Uint8Array();
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    return { token: id, text, bytes: [...bytes], logprob: (logits[id] ?? -Infinity) - logSum };
  };
  return { ...probability(token), top: likeliest(logits, count).map(probability) };
}

/** The tokens with the highest logits, the highest first; of equal ones the lowest id. */
function likeliest(logits: Float32Array, count: number): number[] {
  const best: number[] = [];
  if (count === 0) {
    return best;
  }
  for (const [token, logit] of logits.entries()) {
    const last = logits[best[best.length - 1] ?? -1] ?? -Infinity;
    if (best.length === count && logit <= last) {
      continue;
    }
    let place = best.length;
    while (place > 0 && logit > (logits[best[place - 1] ?? 0] ?? 0)) {
      place--;
    }
    best.splice(place, 0, token);
    best.length = Math.min(best.length, count);
  }
  return best;
}
