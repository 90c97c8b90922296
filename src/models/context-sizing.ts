/** Sizes a KV cache by the prompts that are known to come, which are counted while the weights are read. */
import { AbortError, throwIfAborted } from "../base/errors.ts";
import type { LateContext } from "../runtime/backend.ts";
import type { LoadRoom } from "../runtime/load-room.ts";
import type { LoadOptions } from "./load-options.ts";
import type { ChatMessage } from "./chat/messages.ts";
import type { ChatPrompts, ChatTemplateOptions } from "./chat/prompts.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** Counts the tokens of prompts as the model will read them. */
export interface PromptCounter {
  ofText(prompt: string): Promise<number>;
  /** Tokens of a conversation. @throws ModelComposeError as the answer to the conversation will */
  ofChat(messages: readonly ChatMessage[], options: ChatTemplateOptions): Promise<number>;
}

/** How long a context has to be, which is counted when the tokenizer is there; the weights do not wait for it. */
export interface ContextSizing {
  /** Tokens that will be needed for sure, so that memory can be checked before anything is loaded. Integer >= 1. */
  readonly least: number;
  /** Counts what is needed; called once. @returns tokens of context that suffice: an integer >= `least` */
  count(prompts: PromptCounter): Promise<number>;
}

/** Load options of those who know what prompts will come, and which other models; they are not part of the public library. */
export interface SizedLoadOptions extends LoadOptions {
  /** How the context is counted, of which `contextLength` is the most then. Absent: `contextLength` is the context. */
  sizing?: ContextSizing;
  /** What is asked for memory that models share. Absent: the model takes what it needs. */
  room?: LoadRoom;
}

export interface SizingParts {
  /** The tokenizer; undefined for a model without one, for which no prompt can be counted, and none be read. */
  readonly tokenizer: Promise<Tokenizer | undefined>;
  readonly chat: ChatPrompts;
  /** Tokens that the context has at most, whatever is counted. */
  readonly most: number;
  readonly signal: AbortSignal;
}

/** The context of a sizing: counting begins when the tokenizer is there. */
export function lateContext(
  sizing: ContextSizing,
  { tokenizer: loading, chat, most, signal }: SizingParts,
): LateContext {
  const least = Math.min(sizing.least, most);
  const count = async (): Promise<number> => {
    const tokenizer = await loading.catch((error: unknown) => {
      // The tokenizer's failure is reported as its own; for a device that waits here, loading was given up.
      throw new AbortError(error);
    });
    if (tokenizer === undefined) {
      return least;
    }
    const tokens = await sizing.count({
      // More than the context may be is not counted.
      ofText: async (prompt) => (await tokenizer.encodeAsync(prompt, { most, signal })).length,
      ofChat: async (messages, options) => {
        throwIfAborted(signal);
        const { text } = await chat.render(messages, options);
        // As in transformers, the template has written the special tokens, and none are added.
        return (await tokenizer.encodeAsync(text, { addSpecialTokens: false, most, signal })).length;
      },
    });
    return Math.min(tokens, most);
  };
  const counted = count();
  counted.catch(() => undefined); // a device that fails before it asks leaves nobody who waits
  return { least, most, counted };
}
