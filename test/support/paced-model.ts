import { AbortError, ModelComposeError } from "../../src/base/errors.ts";
import type { ChatOptions, ChatPart } from "../../src/models/chat/chat.ts";
import type { ChatMessage } from "../../src/models/chat/messages.ts";
import type { GenerateOptions, StreamPart, TokenLogprob } from "../../src/runtime/generation/types.ts";
import type { LoadOptions } from "../../src/models/load-options.ts";

/**
 * A model that writes `word 0 word 1 …` at a pace, one token a piece, up to maxNewTokens. A prompt that begins with
 * "fail" fails behind the third token.
 */
export class PacedModel {
  /** Milliseconds that a token takes. */
  pace = 20;
  /** Number of texts that are being written. */
  active = 0;
  /** The conversations that were to be answered. */
  readonly chats: (readonly ChatMessage[])[] = [];
  /** The pieces of an answer to a conversation, a token each. */
  answer: (messages: readonly ChatMessage[]) => readonly Omit<ChatPart, "tokens">[] = (messages) =>
    `You said: ${textOf(messages.at(-1))}.`.split(/(?= )/).map((text) => ({ type: "content", text }));
  #loaded = Promise.withResolvers<void>();

  /** Lets loading end. */
  readonly finishLoading = (): void => this.#loaded.resolve();

  readonly load = async (_source: string, options: LoadOptions) => {
    options.onProgress?.({ stage: "weights", done: 45, total: 100 });
    await this.#loaded.promise;
    return {
      directory: "/paced",
      device: { kind: "wasm" as const, description: "wasm (paced)", threads: 1 },
      stream: (prompt: string, given: GenerateOptions) => this.#write(prompt, given),
      architecture: "causal" as const,
      contextLength: 4096,
      precision: "bfloat16",
      memory: { weightBytes: 3e9, kvCacheBytes: 2e8, workBytes: 1e7 },
      streamChat: (messages: readonly ChatMessage[], given: ChatOptions) => this.#chat(messages, given),
      countTokens: () => Promise.resolve(0),
      embed: () => Promise.reject(new Error("nobody embeds here")),
      lost: new Promise<never>(() => undefined),
      dispose: () => Promise.resolve(),
    };
  };

  async *#write(prompt: string, options: GenerateOptions): AsyncGenerator<StreamPart> {
    const { signal, maxNewTokens = 10, seed = 7 } = options;
    this.active += 1;
    try {
      const tokens: number[] = [];
      let newText = "";
      for (let i = 0; i < maxNewTokens; i++) {
        await new Promise((resolve) => setTimeout(resolve, this.pace));
        if (signal?.aborted) {
          throw new AbortError(signal.reason);
        }
        if (i === 3 && prompt.startsWith("fail")) {
          throw new ModelComposeError("device", "The GPU was lost.", { remedy: "Use device: cpu." });
        }
        const text = ` word ${i}`;
        newText += text;
        tokens.push(i);
        if (i < maxNewTokens - 1) {
          yield { text, tokens: [i] };
        } else {
          yield { text, tokens: [i], result: this.#result(prompt, newText, tokens, seed) };
        }
      }
    } finally {
      this.active -= 1;
    }
  }

  async *#chat(messages: readonly ChatMessage[], options: ChatOptions): AsyncGenerator<ChatPart> {
    const { signal, logprobs, seed = 7 } = options;
    this.chats.push(messages);
    this.active += 1;
    try {
      const parts = this.answer(messages);
      for (const [i, part] of parts.entries()) {
        await new Promise((resolve) => setTimeout(resolve, this.pace));
        if (signal?.aborted) {
          throw new AbortError(signal.reason);
        }
        const told = logprobs === undefined ? {} : { logprobs: [tokenLogprob(part.text)] };
        yield { ...part, tokens: [i], ...told };
      }
      const textOf = (type: ChatPart["type"]): string =>
        parts.map((part) => (part.type === type ? part.text : "")).join("");
      const content = textOf("content");
      const tokens = parts.map((_, i) => i);
      const toolCalls = parts.flatMap(({ toolCall }) => toolCall ?? []);
      const result = {
        ...this.#result("", content, tokens, seed)!,
        finishReason: "eos" as const,
        usage: { promptTokens: 10 * messages.length, completionTokens: tokens.length },
        sequences: undefined,
        content,
        reasoning: textOf("reasoning") || undefined,
        toolCalls,
        message: {
          role: "assistant",
          content,
          ...(toolCalls.length === 0
            ? {}
            : { tool_calls: toolCalls.map((call) => ({ type: "function" as const, function: call })) }),
        },
      };
      yield { type: "content", text: "", tokens: [], result };
    } finally {
      this.active -= 1;
    }
  }

  #result(prompt: string, newText: string, tokens: number[], seed: number): StreamPart["result"] {
    const rate = 1000 / this.pace;
    return {
      text: prompt + newText,
      newText,
      tokens,
      finishReason: "length",
      usage: { promptTokens: 1, completionTokens: tokens.length },
      timings: {
        timeToFirstTokenSeconds: 1 / rate,
        prefillSeconds: 1 / rate,
        decodeSeconds: (tokens.length - 1) / rate,
        prefillTokensPerSecond: rate,
        decodeTokensPerSecond: rate,
      },
      seed,
      warnings: [],
    };
  }
}

/** The text of a message; "" where it has none. */
export function textOf(message: ChatMessage | undefined): string {
  return typeof message?.content === "string" ? message.content : "";
}

/** A token that was chosen with a probability of a half, before another one. */
function tokenLogprob(text: string): TokenLogprob {
  const of = (token: number, spelling: string, probability: number) => ({
    token,
    text: spelling,
    bytes: [...new TextEncoder().encode(spelling)],
    logprob: Math.log(probability),
  });
  return { ...of(1, text, 0.5), top: [of(1, text, 0.5), of(2, " else", 0.25)] };
}
