/**
 * model-compose as a library.
 *
 * ```ts
 * import { loadModel } from "model-compose";
 *
 * const model = await loadModel("./models/tales");
 * for await (const part of model.stream("Once upon a time", { maxNewTokens: 64 })) process.stdout.write(part.text);
 * // Of a model that was tuned for conversations:
 * const { content, reasoning } = await model.chat([{ role: "user", content: "Why is the sky blue?" }]);
 * await model.dispose();
 * ```
 */
export { loadModel, loadTokenizer } from "./models/model.ts";
export type { Model, ModelMemory } from "./models/model.ts";
export type {
  ChatAnswer,
  ChatOptions,
  ChatPart,
  ChatResult,
  ChatTemplateOptions,
  RenderChatOptions,
} from "./models/chat/chat.ts";
export type { AllowedTools, ToolChoice } from "./models/chat/tool-choice.ts";
export type { Tags } from "./models/chat/answer.ts";
export type {
  ChatMessage,
  ContentPart,
  ToolCall,
  ToolCallEntry,
  ToolDefinition,
} from "./models/chat/messages.ts";
export type {
  EncodeAsyncOptions,
  EncodeOptions,
  IncrementalDecoder,
  IncrementalDecoderOptions,
  Tokenizer,
} from "./models/tokenizer/tokenizer.ts";
export type { Embedding, EmbedOptions, Pooling } from "./runtime/generation/embed.ts";
export type { ForwardResult } from "./runtime/generation/forward.ts";
export type {
  Activations,
  DeviceInfo,
  DeviceRequest,
  KvPrecision,
  Precision,
  PrefillMode,
} from "./runtime/device-types.ts";
export type { Quantization } from "./runtime/held-formats.ts";
export type {
  Architecture,
  BeamSequence,
  ConstraintOptions,
  FinishReason,
  GeneratedSequence,
  GenerateOptions,
  GenerateResult,
  SamplingOptions,
  StreamPart,
  Timings,
  TokenLogprob,
  TokenProbability,
  Usage,
} from "./runtime/generation/types.ts";
export type { HubOptions } from "./models/hub/options.ts";
export type { LoadOptions, LoadProgress, LoadReports } from "./models/load-options.ts";
export { listAdapters } from "./runtime/devices.ts";
export type { AdapterSummary } from "./runtime/devices.ts";
export { AbortError, ModelComposeError } from "./base/errors.ts";
export type { ErrorCode, ErrorDetails } from "./base/errors.ts";
