/** Whether a conversation fits a model's context, and how much of it would have to go. */
import { withoutOldest, turnsOf, type Conversation } from "./conversation.ts";

/** Fewest tokens that are left for an answer: with less it would break off behind a sentence. */
const LEAST_ANSWER = 256;

/** How a conversation fits. */
export type Fit =
  | { readonly fits: true; readonly tokens: number }
  /** `drop`: the fewest oldest turns without which it would fit; undefined where even the last one alone does not. */
  | { readonly fits: false; readonly tokens: number; readonly drop: number | undefined };

/** What a context has to hold. */
export interface FitOptions {
  /** Tokens that the context holds. */
  readonly contextLength: number;
  /** The most tokens of an answer, where somebody has set that. */
  readonly maxNewTokens: number | undefined;
  /** Tokens that a summary may take, which comes in the place of what goes. Default 0. */
  readonly summary?: number;
}

/** Tokens that stay free for the answer: a quarter of a small context at most. */
export function answerRoom({ contextLength, maxNewTokens = LEAST_ANSWER }: FitOptions): number {
  return Math.min(maxNewTokens, LEAST_ANSWER, contextLength >> 2);
}

/**
 * Compares a conversation with a context.
 *
 * @param count counts the tokens of a conversation as the model reads it
 */
export async function fit(
  conversation: Conversation,
  options: FitOptions,
  count: (conversation: Conversation) => Promise<number>,
): Promise<Fit> {
  const room = options.contextLength - answerRoom(options);
  const tokens = await count(conversation);
  if (tokens <= room) {
    return { fits: true, tokens };
  }
  const { summary = 0 } = options;
  const fitsWithout = async (drop: number): Promise<boolean> =>
    (await count(withoutOldest(conversation, drop))) + summary <= room;
  const most = turnsOf(conversation).length - 1;
  if (most < 1 || !(await fitsWithout(most))) {
    return { fits: false, tokens, drop: undefined };
  }
  // Fewer turns are fewer tokens, so the least number is found by halves.
  let least = 1;
  let enough = most;
  while (least < enough) {
    const middle = (least + enough) >> 1;
    if (await fitsWithout(middle)) {
      enough = middle;
    } else {
      least = middle + 1;
    }
  }
  return { fits: false, tokens, drop: enough };
}
