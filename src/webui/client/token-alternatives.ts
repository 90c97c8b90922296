/** The tokens of a text with how likely they were, and what could have stood in their place. */
import * as z from "zod/mini";
import type { WireLogprob } from "./wire.ts";

/** A token, as short as the browser can keep it: its text, the logarithm of its probability, and the others in its place. */
export type KeptToken = readonly [
  text: string,
  logprob: number,
  instead: readonly (readonly [text: string, logprob: number])[],
];

/** The tokens of a text, as they are kept. */
export const storedTokens: z.ZodMiniType<readonly KeptToken[]> = z.array(
  z.tuple([z.string(), z.number(), z.array(z.tuple([z.string(), z.number()]))]),
);

/** What is kept of tokens. Logarithms have four digits behind the point: nobody sees more of a probability. */
export function keptTokens(logprobs: readonly WireLogprob[]): KeptToken[] {
  const short = (logprob: number): number => Math.round(10_000 * logprob) / 10_000;
  return logprobs.map(({ text, logprob, top, token }) => [
    text,
    short(logprob),
    top.filter((one) => one.token !== token).map((one) => [one.text, short(one.logprob)] as const),
  ]);
}

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
export function shownTokens(tokens: readonly KeptToken[]): ShownToken[] {
  return tokens.map(([text, logprob, alternatives]) => {
    const probability = Math.exp(logprob);
    const others = alternatives.map(([other, theirs]) => `${named(other)} ${percent(Math.exp(theirs))}`);
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
