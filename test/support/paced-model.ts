import { AbortError, ModelComposeError } from "../../src/base/errors.ts";
import type { GenerateOptions, StreamPart } from "../../src/runtime/generation/types.ts";
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
      streamChat: () => {
        throw new Error("nobody chats here");
      },
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
