import type { ModelComposeError } from "../../src/base/errors.ts";
import type { LoadTextModel } from "../../src/compose/model-host.ts";
import type { GenerateOptions, GenerateResult, StreamPart } from "../../src/runtime/generation/types.ts";

/** A model that writes `w0 w1 …`, one word a tick, so that a test sees it at work and stops it. */
export class PacedModels {
  /** Number of words of a text. */
  words = 4;
  /** Milliseconds between words. */
  pause = 1;
  /** The text of a word. */
  word = (index: number): string => `w${index} `;
  /** Lets loading end when it resolves; loading fails as this fails. */
  loaded: Promise<void> = Promise.resolve();
  /** Number of words written so far, of all texts. */
  written = 0;
  /** Number of texts that are being written. */
  active = 0;
  mostActive = 0;
  /** Holds every text up until it resolves, whatever its signal says. */
  hang: Promise<void> = Promise.resolve();
  disposed = 0;
  /** Loses the models that are loaded next when it resolves. */
  lost = Promise.withResolvers<ModelComposeError>();

  readonly load: LoadTextModel = async (_source, options) => {
    options.onProgress?.({ stage: "weights", done: 1, total: 4 });
    await this.loaded;
    return {
      directory: "/paced",
      device: { kind: "wasm", description: "wasm (paced)", threads: 1 },
      stream: (_prompt: string, given: GenerateOptions) => this.#stream(given),
      architecture: "causal" as const,
      contextLength: 4096,
      streamChat: () => {
        throw new Error("nobody chats here");
      },
      countTokens: () => Promise.resolve(0),
      embed: () => Promise.reject(new Error("nobody embeds here")),
      lost: this.lost.promise,
      dispose: () => {
        this.disposed += 1;
        return Promise.resolve();
      },
    };
  };

  async *#stream(options: GenerateOptions): AsyncGenerator<StreamPart> {
    this.active += 1;
    this.mostActive = Math.max(this.mostActive, this.active);
    let newText = "";
    try {
      for (let i = 0; i < this.words; i++) {
        await new Promise((resolve) => setTimeout(resolve, this.pause));
        await this.hang;
        options.signal?.throwIfAborted();
        const text = this.word(i);
        newText += text;
        this.written += 1;
        const isLast = i === this.words - 1;
        yield { text, tokens: [i], result: isLast ? resultOf(newText, this.words, options) : undefined };
      }
    } finally {
      this.active -= 1;
    }
  }
}

function resultOf(newText: string, tokens: number, { seed = 0 }: GenerateOptions): GenerateResult {
  return {
    text: newText,
    newText,
    tokens: Array.from({ length: tokens }, (_, i) => i),
    finishReason: "eos",
    usage: { promptTokens: 3, completionTokens: tokens },
    timings: {
      timeToFirstTokenSeconds: 0.25,
      prefillSeconds: 0.5,
      decodeSeconds: 2,
      prefillTokensPerSecond: 6,
      decodeTokensPerSecond: (tokens - 1) / 2,
    },
    seed,
    warnings: [],
  };
}
