/** What running a workflow needs of a loaded model, and of the function that loads it. */
import type { ModelComposeError } from "../base/errors.ts";
import type { ChatOptions, ChatPart, RenderChatOptions } from "../models/chat/chat.ts";
import type { ChatMessage } from "../models/chat/messages.ts";
import type { SizedLoadOptions } from "../models/context-sizing.ts";
import type { ModelMemory } from "../models/model.ts";
import type { DeviceInfo } from "../runtime/device-types.ts";
import type { Embedding, EmbedOptions } from "../runtime/generation/embed.ts";
import type { Architecture, GenerateOptions, StreamPart } from "../runtime/generation/types.ts";

/** What running a workflow needs of a loaded model. */
export interface TextModel {
  /** The model's folder. */
  readonly directory: string;
  readonly device: DeviceInfo;
  readonly architecture: Architecture;
  /** Tokens, of prompt and new text, that the context holds. */
  readonly contextLength: number;
  /** What its matrices are held as, for people. Absent: several formats, or nobody tells. */
  readonly precision?: string;
  /** What it takes of the device's memory. Absent: nobody tells. */
  readonly memory?: ModelMemory;
  stream(prompt: string, options: GenerateOptions): AsyncIterable<StreamPart>;
  streamChat(messages: readonly ChatMessage[], options: ChatOptions): AsyncIterable<ChatPart>;
  /** Makes a vector of a text. */
  embed(prompt: string, options: EmbedOptions): Promise<Embedding>;
  /** Counts the tokens of a prompt, or of a conversation, as the model reads it. */
  countTokens(
    prompt: string | readonly ChatMessage[],
    options: RenderChatOptions & { signal?: AbortSignal },
  ): Promise<number>;
  /** Resolves with the reason when the model cannot be used any more and only loading it again helps. */
  readonly lost: Promise<ModelComposeError>;
  dispose(): Promise<void>;
}

/** The function that loads a model: `loadModelSized`, or what stands for it. */
export type LoadTextModel = (source: string, options: SizedLoadOptions) => Promise<TextModel>;
