import type { ChatOptions } from "../../../models/chat/chat.ts";
import type { ChatMessage } from "../../../models/chat/messages.ts";

/** What one text is made from: a prompt, or a conversation. */
export type ModelInput = string | readonly ChatMessage[];

/** The inputs of one call of a model. */
export interface RenderedInputs {
  readonly inputs: readonly ModelInput[];
  /** A list of inputs gives a list, also a list of one. */
  readonly isList: boolean;
  /** Of conversations. */
  readonly chat?: ChatOptions;
}
