/** Sentences about tokens: how full a context is, and what an answer took. */
import type { ChatResult } from "../../models/chat/chat.ts";
import type { Usage } from "../../runtime/generation/types.ts";
import type { Fit } from "./fit.ts";

/** What a generation took, with what a model that keeps prompts had read before. */
type UsageWithCache = Usage & { readonly cachedTokens?: number };

export interface TokenFacts {
  /** Tokens of the conversation as the model would read it now. */
  readonly tokens: number;
  readonly contextLength: number;
  readonly last: Pick<ChatResult, "usage" | "timings"> | undefined;
}

/** The lines of `/tokens`. */
export function tokensText({ tokens, contextLength, last }: TokenFacts): string {
  const percent = Math.round((100 * tokens) / contextLength);
  const whole = `The conversation has ${number(tokens)} of ${number(contextLength)} tokens of context (${percent} %).`;
  if (last === undefined) {
    return whole;
  }
  const { promptTokens, completionTokens, cachedTokens = 0 }: UsageWithCache = last.usage;
  const anew = promptTokens - cachedTokens;
  const kept =
    cachedTokens === 0
      ? "all of them anew"
      : `${number(anew)} anew, ${number(cachedTokens)} kept from before`;
  const rate = last.timings.decodeTokensPerSecond;
  return `${whole}\nFor the last answer ${number(promptTokens)} were read, ${kept}, and ${number(completionTokens)} written (${rate.toFixed(1)} tokens/s).`;
}

/** What is said of a conversation that does not fit. */
export function fullContextText(found: Fit & { readonly fits: false }, contextLength: number): string {
  const { tokens, drop } = found;
  const what = `The conversation has ${number(tokens)} tokens; the context holds ${number(contextLength)}, with room for an answer`;
  if (drop === undefined) {
    return `${what}. What was said last does not fit alone: nothing was sent.`;
  }
  return `${what}. It fits without ${drop === 1 ? "the oldest turn" : `the ${drop} oldest turns`}.`;
}

function number(count: number): string {
  return count.toLocaleString("en");
}
