/** Embedding models of the AI SDK over models of this library. */
import type { EmbeddingModelV3, EmbeddingModelV3CallOptions, EmbeddingModelV3Result } from "@ai-sdk/provider";
import { ModelComposeError } from "../base/errors.ts";
import type { EmbedOptions, Embedding } from "../runtime/generation/embed.ts";
import { providerOptions } from "./call-options.ts";
import type { ModelSource } from "./model-source.ts";

/** What `providerOptions: { modelCompose: … }` of embeddings may say. */
export type EmbeddingProviderOptions = Omit<EmbedOptions, "signal">;

/** A model of the SDK's that makes vectors of texts. */
export class EmbeddingModel implements EmbeddingModelV3 {
  readonly specificationVersion = "v3";
  readonly provider = "model-compose.embedding";
  readonly maxEmbeddingsPerCall = Infinity;
  /** Calls wait for each other's passes in the model: several at once gain nothing. */
  readonly supportsParallelCalls = false;
  readonly #source: ModelSource;

  constructor(source: ModelSource) {
    this.#source = source;
  }

  get modelId(): string {
    return this.#source.modelId;
  }

  async doEmbed(call: EmbeddingModelV3CallOptions): Promise<EmbeddingModelV3Result> {
    const { pooling, ...others } = providerOptions(call);
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) {
      throw new ModelComposeError("invalid-argument", `Embeddings have no option "${unknown}".`, {
        remedy: 'The one there is is "pooling".',
        parameter: unknown,
      });
    }
    const { abortSignal: signal } = call;
    const model = await this.#source.open({}, signal);
    const embeddings: Embedding[] = [];
    for (const value of call.values) {
      // The library checks which pooling it is.
      embeddings.push(await model.embed(value, { pooling: pooling as EmbedOptions["pooling"], signal }));
    }
    return {
      embeddings: embeddings.map(({ embedding }) => [...embedding]),
      usage: { tokens: embeddings.reduce((sum, { promptTokens }) => sum + promptTokens, 0) },
      warnings: [],
    };
  }

  dispose(): Promise<void> {
    return this.#source.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
