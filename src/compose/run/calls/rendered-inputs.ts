import type { ChatOptions } from "../../../models/chat/chat.ts";
import type { ChatMessage } from "../../../models/chat/messages.ts";

/** What one text is made from: a prompt, or a conversation. */
export type ModelInput = string | readonly ChatMessage[];

/** The inputs of one call of a model. */
export interface RenderedInputs {
  readonly inputs: readonly ModelInput[];
  /** Whether the inputs are a list, which gives a list of outputs, also where it has one item. */
  readonly isList: boolean;
  /** Options of conversations; absent for prompts. */
  readonly chat?: ChatOptions;
}
