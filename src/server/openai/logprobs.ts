/** Log-probabilities as OpenAI's API writes them. */
import { z } from "zod";
import type { TokenLogprob, TokenProbability } from "../../runtime/generation/types.ts";

const tokenFields = {
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).nullable(),
} as const;

/** A token with its alternatives. */
export const tokenLogprobsBody = z.object({ ...tokenFields, top_logprobs: z.array(z.object(tokenFields)) });
export type TokenLogprobsBody = z.infer<typeof tokenLogprobsBody>;

export const chatLogprobsBody = z.object({
  content: z.array(tokenLogprobsBody),
  refusal: z.null(),
});
export type ChatLogprobsBody = z.infer<typeof chatLogprobsBody>;

export const completionLogprobsBody = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number()),
  top_logprobs: z.array(z.record(z.string(), z.number())).nullable(),
  text_offset: z.array(z.int()),
});
export type CompletionLogprobsBody = z.infer<typeof completionLogprobsBody>;

export function chatLogprobs(tokens: readonly TokenLogprob[] | undefined): ChatLogprobsBody | null {
  if (tokens === undefined) {
    return null;
  }
  return { content: tokenLogprobs(tokens), refusal: null };
}

export function tokenLogprobs(tokens: readonly TokenLogprob[]): TokenLogprobsBody[] {
  return tokens.map((token) => ({ ...tokenBody(token), top_logprobs: token.top.map(tokenBody) }));
}

/** @param offset where the text of the first token begins in the whole text */
export function completionLogprobs(
  tokens: readonly TokenLogprob[] | undefined,
  offset: number,
): CompletionLogprobsBody | null {
  if (tokens === undefined) {
    return null;
  }
  let at = offset;
  const offsets = tokens.map(({ text }) => {
    at += text.length;
    return at - text.length;
  });
  const hasTop = tokens.some(({ top }) => top.length > 0);
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: hasTop
      ? tokens.map(({ top }) => Object.fromEntries(top.map(({ text, logprob }) => [text, logprob])))
      : null,
    text_offset: offsets,
  };
}

const tokenBody = ({ text, logprob, bytes }: TokenProbability): z.infer<z.ZodObject<typeof tokenFields>> => ({
  token: text,
  logprob,
  bytes: bytes.length === 0 ? null : bytes,
});
