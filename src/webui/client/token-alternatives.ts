/** The tokens of a text with how likely they were, and what could have stood in their place. */
import type { WireLogprob } from "./wire.ts";

/** One token as the page shows it. */
export interface ShownToken {
  readonly text: string;
  /** 0 (hardly likely) .. 4 (nearly certain). */
  readonly level: number;
  /** What a person hears of the token: its probability, and those of others. */
  readonly words: string;
}

/** Least probabilities of the levels 1, 2, 3 and 4. */
const LEVELS = [0.1, 0.3, 0.6, 0.9] as const;

/** The tokens of a text; what of it is only a part of a character stands as a mark. */
export function shownTokens(logprobs: readonly WireLogprob[]): ShownToken[] {
  return logprobs.map(({ text, logprob, top, token }) => {
    const probability = Math.exp(logprob);
    const others = top
      .filter((one) => one.token !== token)
      .map((one) => `${named(one.text)} ${percent(Math.exp(one.logprob))}`);
    const instead = others.length === 0 ? "" : `; instead: ${others.join(", ")}`;
    return {
      text,
      level: LEVELS.filter((least) => probability >= least).length,
      words: `${named(text)} ${percent(probability)}${instead}`,
    };
  });
}

function named(text: string): string {
  return JSON.stringify(text).replace(/^"(.*)"$/, "“$1”");
}

/** A probability as people read it: "52 %", "0.3 %", "< 0.1 %". */
export function percent(probability: number): string {
  const value = 100 * probability;
  if (value > 0 && value < 0.1) {
    return "< 0.1 %";
  }
  return `${value >= 9.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}
