/** Language models of the AI SDK over models of this library. */
import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3GenerateResult,
  LanguageModelV3StreamPart,
  LanguageModelV3StreamResult,
  LanguageModelV3Usage,
  SharedV3Warning,
} from "@ai-sdk/provider";
import { AbortError } from "../base/errors.ts";
import {
  AnswerStream,
  contentOf,
  finishOf,
  metadataOf,
  usageOf,
  type Answer,
  type AnswerPart,
} from "./answer.ts";
import { chatOptions, completionWarnings, generateOptions, providerOptions } from "./call-options.ts";
import type { ModelSource } from "./model-source.ts";
import { chatMessages, promptText } from "./prompt.ts";

/** What a call took that failed: nobody has counted. */
const UNKNOWN_USAGE: LanguageModelV3Usage = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
};

/** A call of the SDK, read: what is to be done once the model is there. */
interface Question {
  readonly warnings: readonly SharedV3Warning[];
  whole(): Promise<Answer>;
  pieces(): AsyncIterable<AnswerPart>;
}

/** Reads a call of the SDK. @throws ModelComposeError for what cannot be asked */
export type Ask = (source: ModelSource, call: LanguageModelV3CallOptions) => Question;

/** Asks by the model's chat template. */
export const askChat: Ask = (source, call) => {
  const warnings: SharedV3Warning[] = [];
  const options = chatOptions(call, warnings);
  const messages = chatMessages(call.prompt, warnings);
  // A template of the caller's makes up for one that the model lacks.
  const open = () => source.open({ chat: providerOptions(call).template === undefined }, call.abortSignal);
  return {
    warnings,
    whole: async () => (await open()).chat(messages, options),
    pieces: async function* () {
      yield* (await open()).streamChat(messages, options);
    },
  };
};

/** Has a text continued. */
export const askCompletion: Ask = (source, call) => {
  const options = generateOptions(call);
  const text = promptText(call.prompt);
  const open = () => source.open({}, call.abortSignal);
  return {
    warnings: completionWarnings(call),
    whole: async () => (await open()).generate(text, options),
    pieces: async function* () {
      for await (const part of (await open()).stream(text, options)) {
        yield { ...part, type: "content" };
      }
    },
  };
};

/** A model of the SDK's. */
export class LanguageModel implements LanguageModelV3 {
  readonly specificationVersion = "v3";
  readonly provider: string;
  /** No file is read from a URL: the models read texts. */
  readonly supportedUrls = {};
  readonly #source: ModelSource;
  readonly #ask: Ask;

  constructor(provider: string, source: ModelSource, ask: Ask) {
    this.provider = provider;
    this.#source = source;
    this.#ask = ask;
  }

  get modelId(): string {
    return this.#source.modelId;
  }

  async doGenerate(call: LanguageModelV3CallOptions): Promise<LanguageModelV3GenerateResult> {
    const question = this.#ask(this.#source, call);
    const answer = await question.whole();
    return {
      content: contentOf(answer),
      finishReason: finishOf(answer),
      usage: usageOf(answer),
      providerMetadata: metadataOf(answer),
      response: { modelId: this.modelId, timestamp: new Date() },
      warnings: [
        ...question.warnings,
        ...answer.warnings.map((message) => ({ type: "other" as const, message })),
      ],
    };
  }

  /** What goes wrong before there is a first piece rejects; afterwards it is a part of the stream. */
  async doStream(call: LanguageModelV3CallOptions): Promise<LanguageModelV3StreamResult> {
    const question = this.#ask(this.#source, call);
    const pieces = question.pieces()[Symbol.asyncIterator]();
    const first = await pieces.next();
    const stream = partsOf(first, pieces, { warnings: [...question.warnings], modelId: this.modelId });
    return {
      stream: new ReadableStream<LanguageModelV3StreamPart>({
        pull: async (controller) => {
          try {
            const { done, value } = await stream.next();
            if (done === true) {
              controller.close();
            } else {
              controller.enqueue(value);
            }
          } catch (error) {
            controller.error(error);
          }
        },
        // Ending the pieces ends the generation.
        cancel: async () => {
          await pieces.return?.();
        },
      }),
    };
  }

  dispose(): Promise<void> {
    return this.#source.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** @throws AbortError where the call was aborted, which the SDK tells apart from failures */
async function* partsOf(
  first: IteratorResult<AnswerPart, unknown>,
  pieces: AsyncIterator<AnswerPart, unknown>,
  { warnings, modelId }: { readonly warnings: SharedV3Warning[]; readonly modelId: string },
): AsyncGenerator<LanguageModelV3StreamPart, void, undefined> {
  yield { type: "stream-start", warnings };
  yield { type: "response-metadata", modelId, timestamp: new Date() };
  const answer = new AnswerStream();
  try {
    for (let next = first; next.done !== true; next = await pieces.next()) {
      yield* answer.push(next.value);
    }
  } catch (error) {
    if (error instanceof AbortError) {
      throw error;
    }
    yield { type: "error", error };
    yield { type: "finish", finishReason: { unified: "error", raw: undefined }, usage: UNKNOWN_USAGE };
  }
}
