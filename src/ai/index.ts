/**
 * Models of this package for Vercel's AI SDK, without a server.
 *
 * ```ts
 * import { generateText } from "ai";
 * import { modelCompose } from "model-compose/ai";
 *
 * await using model = modelCompose("HuggingFaceTB/SmolLM3-3B", { threads: 4 });
 * const { text } = await generateText({ model, prompt: "Why is the sky blue?" });
 * ```
 *
 * Only types are taken from the SDK: the package runs without it.
 */
export { createModelCompose, modelCompose } from "./provider.ts";
export type {
  ModelComposeEmbeddingModel,
  ModelComposeLanguageModel,
  ModelComposeProvider,
} from "./provider.ts";
export type { ProviderLoadOptions } from "./model-source.ts";
export type { EmbeddingProviderOptions } from "./embedding-model.ts";
export type { LanguageProviderOptions } from "./call-options.ts";
