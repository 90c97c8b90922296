/** Says why no token can be chosen: in the same words wherever the choice was tried, on the host, a worker or a GPU. */
import { ModelComposeError } from "../../base/errors.ts";
import type { ResolvedSampling } from "./options.ts";

/** The most likely token of a step that no token can be chosen in. */
export interface UnusableMaximum {
  /**
   * Id of the token: that of the first NaN, else of the first of the highest logits. Means nothing where all are
   * -Infinity.
   */
  token: number;
  /** Its logit after processors and temperature: NaN, +Infinity, or -Infinity where all are. */
  logit: number;
  /** Position of the token being chosen, from the start of the prompt. */
  position: number;
}

/**
 * The error of a step in which no token can be chosen.
 *
 * @returns "invalid-argument" where no token is left, "device" for a logit that is no number to compare
 */
export function unusableMaximum(
  { token, logit, position }: UnusableMaximum,
  vocabSize: number,
  { doSample, temperature }: Pick<ResolvedSampling, "doSample" | "temperature">,
): ModelComposeError {
  if (logit === -Infinity) {
    return new ModelComposeError(
      "invalid-argument",
      `No token is left to choose at position ${position}: all ${vocabSize} logits are -Infinity.`,
      { remedy: "Lower noRepeatNgramSize or minNewTokens, which ban tokens." },
    );
  }
  const isDivided = doSample && temperature < 1;
  const cause = isDivided ? `, after division by the temperature ${temperature}` : "";
  return new ModelComposeError(
    "device",
    `The logit of token ${token} at position ${position} must be finite or -Infinity; found ${logit}${cause}.`,
    isDivided
      ? {
          remedy:
            "Use temperature 0 for greedy decoding; otherwise check the checkpoint for damaged weights.",
          parameter: "temperature",
        }
      : {
          remedy:
            "Check the checkpoint: its weights, or what is computed from them, exceed the range of their type.",
        },
  );
}
