/** The provider: models of the AI SDK by their names. */
import type { EmbeddingModelV3, LanguageModelV3, ProviderV3 } from "@ai-sdk/provider";
import { ModelComposeError } from "../base/errors.ts";
import type { Model } from "../models/model.ts";
import { EmbeddingModel } from "./embedding-model.ts";
import { askChat, askCompletion, LanguageModel } from "./language-model.ts";
import { loadedSource, ModelSources, type ModelSource, type ProviderLoadOptions } from "./model-source.ts";

/** A language model for the AI SDK, which is loaded when it is first asked. */
export interface ModelComposeLanguageModel extends LanguageModelV3, AsyncDisposable {
  /** Frees the model's memory; the next call loads it again. A model that the caller loaded stays. Idempotent. */
  dispose(): Promise<void>;
}

/** An embedding model for the AI SDK, which is loaded when it is first asked. */
export interface ModelComposeEmbeddingModel extends EmbeddingModelV3, AsyncDisposable {
  /** Frees the model's memory; the next call loads it again. A model that the caller loaded stays. Idempotent. */
  dispose(): Promise<void>;
}

/**
 * Models for the AI SDK. One is named as for `loadModel`, or is one that `loadModel` gave. The same name with the same options is
 * the same model, loaded once, wherever it is asked for.
 */
export interface ModelComposeProvider extends ProviderV3, AsyncDisposable {
  /** Does what `languageModel` does. */
  (model: string | Model, options?: ProviderLoadOptions): ModelComposeLanguageModel;
  /** A model that answers conversations by its chat template. */
  languageModel(model: string | Model, options?: ProviderLoadOptions): ModelComposeLanguageModel;
  /** A model that continues a text, for models without a chat template: the prompt is one text, without system and tools. */
  completion(model: string | Model, options?: ProviderLoadOptions): ModelComposeLanguageModel;
  /** A model that makes vectors of texts. */
  embeddingModel(model: string | Model, options?: ProviderLoadOptions): ModelComposeEmbeddingModel;
  /** There are none. @throws ModelComposeError "unsupported" */
  imageModel(modelId: string): never;
  /** Frees all models that this provider has loaded. Idempotent. */
  dispose(): Promise<void>;
}

/** Makes a provider of models of its own. @param defaults how models are loaded where a call says nothing else */
export function createModelCompose(defaults: ProviderLoadOptions = {}): ModelComposeProvider {
  const sources = new ModelSources();
  const sourceOf = (model: string | Model, options: ProviderLoadOptions | undefined): ModelSource =>
    typeof model === "string" ? sources.get(model, { ...defaults, ...options }) : loadedSource(model);
  const languageModel: ModelComposeProvider["languageModel"] = (model, options) =>
    new LanguageModel("model-compose.chat", sourceOf(model, options), askChat);
  const dispose = (): Promise<void> => sources.dispose();
  return Object.assign(
    (model: string | Model, options?: ProviderLoadOptions) => languageModel(model, options),
    {
      specificationVersion: "v3" as const,
      languageModel,
      completion: (model: string | Model, options?: ProviderLoadOptions) =>
        new LanguageModel("model-compose.completion", sourceOf(model, options), askCompletion),
      embeddingModel: (model: string | Model, options?: ProviderLoadOptions) =>
        new EmbeddingModel(sourceOf(model, options)),
      imageModel: (modelId: string): never => {
        throw new ModelComposeError(
          "unsupported",
          `"${modelId}" cannot be an image model: all models here write texts.`,
        );
      },
      dispose,
      [Symbol.asyncDispose]: dispose,
    },
  );
}

/** The provider with models of this process: `modelCompose("HuggingFaceTB/SmolLM3-3B", { threads: 4 })`. */
export const modelCompose: ModelComposeProvider = createModelCompose();
