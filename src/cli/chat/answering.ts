/** Answers a conversation in front of a person: fits it into the context, shows the answer, stops at Ctrl-C. */
import { throwIfAborted } from "../../base/errors.ts";
import type { ChatResult } from "../../models/chat/chat.ts";
import { callText } from "./answer-once.ts";
import {
  messagesOf,
  summaryRequest,
  withMessage,
  withoutOldest,
  withSummary,
  type Conversation,
} from "./conversation.ts";
import { fit, type Fit } from "./fit.ts";
import type { SessionParts } from "./parts.ts";
import type { ChatSettings } from "./settings.ts";
import { fullContextText } from "./token-text.ts";

/** A conversation with its answer. */
export interface Answered {
  readonly conversation: Conversation;
  /** Undefined for an answer that was stopped. */
  readonly result: ChatResult | undefined;
}

/** Tokens that a summary of old turns may take. */
const SUMMARY_TOKENS = 256;

export class Answering {
  readonly #parts: SessionParts;
  /** Notices that came while an answer was being shown. */
  #notices: string[] | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /** Hears a line for people, which waits while an answer is being shown. @returns whether it waits */
  holdNotice(line: string): boolean {
    this.#notices?.push(line);
    return this.#notices !== undefined;
  }

  /**
   * Answers a conversation.
   *
   * @returns the conversation with the answer, and its result, which an answer that was stopped has not; undefined where
   *   nothing was sent, because it did not fit
   * @throws what answering throws; AbortError when the program ends
   */
  async answer(asked: Conversation, settings: ChatSettings): Promise<Answered | undefined> {
    const fitting = await this.#fitting(asked, settings);
    if (fitting === undefined) {
      return undefined;
    }
    const { partner, signal, editor, leave } = this.#parts;
    const view = this.#parts.view(settings.reasoning === "folded");
    const stop = new AbortController();
    editor.onInterrupt = () => (stop.signal.aborted ? leave() : stop.abort());
    this.#notices = [];
    let content = "";
    let result: ChatResult | undefined;
    const notes: string[] = [];
    try {
      const options = {
        settings,
        signal: AbortSignal.any([signal, stop.signal]),
        onPrefill: this.#parts.prefilling,
      };
      for await (const part of partner.answer(messagesOf(fitting), options)) {
        if (part.type === "reasoning") {
          view.reasoning(part.text);
        } else if (part.type === "content") {
          content += part.text;
          await view.content(part.text);
        } else if (part.type === "result") {
          result = part.result;
        } else {
          notes.push(part.type === "warning" ? part.text : callText(part));
        }
      }
    } catch (error) {
      if (!stop.signal.aborted) {
        throw error;
      }
    } finally {
      editor.onInterrupt = undefined;
      await view.end();
      this.#showNotices(notes);
    }
    throwIfAborted(signal);
    if (result === undefined) {
      return { conversation: this.#stopped(fitting, content), result };
    }
    this.#sayWhyItEnded(result);
    return { conversation: withMessage(fitting, result.message), result };
  }

  #showNotices(notes: readonly string[]): void {
    for (const line of [...notes, ...(this.#notices ?? [])]) {
      this.#parts.say(line);
    }
    this.#notices = undefined;
  }

  /** An answer that was stopped stays as far as it came; where it had not begun, the message waits for /retry. */
  #stopped(asked: Conversation, content: string): Conversation {
    this.#parts.say("Stopped. /retry answers again; Ctrl-C ends.");
    return content.trim() === "" ? asked : withMessage(asked, { role: "assistant", content });
  }

  #sayWhyItEnded({ finishReason, toolCalls }: ChatResult): void {
    if (finishReason === "context") {
      this.#parts.warn("The answer ended because the context is full.");
    } else if (finishReason === "length") {
      this.#parts.say("The answer ended at its longest (/set max_output_length).");
    }
    if (toolCalls.length > 0) {
      this.#parts.say("Nothing was called: /tool RESULT tells the model what a call gave.");
    }
  }

  /** What of a conversation is to be answered; undefined: nothing. Nothing of it goes without the person's word. */
  async #fitting(asked: Conversation, settings: ChatSettings): Promise<Conversation | undefined> {
    const { say, warn } = this.#parts;
    let current = await this.#fit(asked, settings, 0);
    if (current.fits) {
      return asked;
    }
    const { contextLength } = this.#parts.partner;
    warn(fullContextText(current, contextLength));
    if (current.drop === undefined) {
      return undefined;
    }
    const choice = await this.#choose();
    if (choice === "drop") {
      return withoutOldest(asked, current.drop);
    }
    if (choice === "summarise") {
      current = await this.#fit(asked, settings, SUMMARY_TOKENS);
      if (!current.fits && current.drop !== undefined) {
        return this.#summarised(asked, settings, current.drop);
      }
      warn("There is no room for a summary.");
    }
    say("Nothing was sent.");
    return undefined;
  }

  async #choose(): Promise<"drop" | "summarise" | "cancel"> {
    const input = await this.#parts.editor.read("Drop them (d), summarise them (s), or send nothing (n)? ");
    const answer = input.kind === "text" ? input.text.trim().toLowerCase() : "n";
    return answer.startsWith("d") ? "drop" : answer.startsWith("s") ? "summarise" : "cancel";
  }

  #fit(conversation: Conversation, settings: ChatSettings, summary: number): Promise<Fit> {
    const { partner, signal } = this.#parts;
    const options = { settings, signal };
    const { contextLength } = partner;
    const { max_output_length: maxNewTokens } = settings.parameters;
    return fit(conversation, { contextLength, maxNewTokens, summary }, (one) =>
      partner.countTokens(messagesOf(one), options),
    );
  }

  async #summarised(
    asked: Conversation,
    settings: ChatSettings,
    turns: number,
  ): Promise<Conversation | undefined> {
    const { partner, signal, say, editor, prefilling, leave } = this.#parts;
    say(`Summing up ${turns} ${turns === 1 ? "turn" : "turns"} …`);
    const stop = new AbortController();
    editor.onInterrupt = () => (stop.signal.aborted ? leave() : stop.abort());
    const parameters = { ...settings.parameters, max_output_length: SUMMARY_TOKENS };
    const options = {
      settings: { ...settings, parameters },
      signal: AbortSignal.any([signal, stop.signal]),
      onPrefill: prefilling,
    };
    let summary = "";
    try {
      for await (const part of partner.answer(messagesOf(summaryRequest(asked, turns)), options)) {
        summary += part.type === "content" ? part.text : "";
      }
    } catch (error) {
      if (!stop.signal.aborted) {
        throw error;
      }
    } finally {
      editor.onInterrupt = undefined;
    }
    throwIfAborted(signal);
    if (summary.trim() === "" || stop.signal.aborted) {
      say("There is no summary; nothing was sent.");
      return undefined;
    }
    say(`Summary: ${summary.trim()}`);
    return withSummary(asked, turns, summary.trim());
  }
}
