/** A conversation with a person: reads what is entered, does what it says, and shows the answers. */
import { AbortError, errorMessage, throwIfAborted } from "../../base/errors.ts";
import type { ChatMessage } from "../../models/chat/messages.ts";
import type { ChatResult } from "../../models/chat/chat.ts";
import { Answering } from "./answering.ts";
import { helpText, readEntry, type ChatCommand } from "./commands.ts";
import {
  emptyConversation,
  fromKept,
  lastAnswer,
  messagesOf,
  titleOf,
  toKept,
  turnsOf,
  withMessage,
  withoutLastAnswer,
  withoutLastTurn,
  type Conversation,
} from "./conversation.ts";
import { readMentions } from "./files.ts";
import type { SessionParts } from "./parts.ts";
import { changeSetting, settingLines, type ChatSettings } from "./settings.ts";
import {
  keepConversation,
  keptConversations,
  loadConversation,
  newConversationId,
  saveConversation,
} from "./store.ts";
import { tokensText } from "./token-text.ts";

/** What a session begins with. */
export interface SessionStart {
  readonly conversation: Conversation;
  readonly settings: ChatSettings;
  /** The id of a kept conversation that goes on. */
  readonly id?: string;
}

const PROMPT = "> ";

export class ChatSession {
  readonly #parts: SessionParts;
  #conversation: Conversation;
  #settings: ChatSettings;
  #id: string;
  #last: ChatResult | undefined;
  /** Whether Ctrl-C was the last thing, so that another one ends the program. */
  #isLeaving = false;
  readonly #answering: Answering;

  constructor(parts: SessionParts, { conversation, settings, id = newConversationId() }: SessionStart) {
    this.#parts = parts;
    this.#answering = new Answering(parts);
    this.#conversation = conversation;
    this.#settings = settings;
    this.#id = id;
  }

  get conversation(): Conversation {
    return this.#conversation;
  }

  /** Hears a line for people, which waits while an answer is being shown. @returns whether it waits */
  holdNotice(line: string): boolean {
    return this.#answering.holdNotice(line);
  }

  /** Goes on until the person ends it. @throws AbortError when the program is to end at once */
  async run(): Promise<void> {
    for (;;) {
      const input = await this.#parts.editor.read(PROMPT);
      if (input.kind === "end") {
        return;
      }
      if (input.kind === "interrupt") {
        this.#interrupt(input.hadText);
        continue;
      }
      this.#isLeaving = false;
      try {
        if (await this.#enter(input.text)) {
          return;
        }
      } catch (error) {
        throwIfAborted(this.#parts.signal);
        this.#parts.fail(error);
      }
    }
  }

  /** Ctrl-C where nothing is being answered takes back what was written; where nothing was, the second one ends. */
  #interrupt(hadText: boolean): void {
    if (!hadText && this.#isLeaving) {
      this.#parts.leave();
      throw new AbortError(this.#parts.signal.reason);
    }
    if (!hadText) {
      this.#parts.say("Ctrl-C again, Ctrl-D or /quit ends.");
    }
    this.#isLeaving = !hadText;
  }

  /** @returns whether the session ends */
  async #enter(text: string): Promise<boolean> {
    const entry = readEntry(text);
    switch (entry.kind) {
      case "nothing":
        return false;
      case "mistake":
        this.#parts.warn(entry.message);
        return false;
      case "message": {
        const content = await readMentions(entry.text, this.#parts.directory);
        await this.#answer(withMessage(this.#conversation, { role: "user", content }));
        return false;
      }
      case "command":
        return this.#command(entry.name, entry.argument);
    }
  }

  async #command(name: ChatCommand, argument: string): Promise<boolean> {
    const { say, model } = this.#parts;
    switch (name) {
      case "quit":
        return true;
      case "help":
        say(helpText());
        break;
      case "new":
        this.#begin({ ...emptyConversation, system: this.#conversation.system });
        say("A new conversation.");
        break;
      case "system":
        this.#system(argument);
        break;
      case "set":
        this.#set(argument);
        break;
      case "undo":
        this.#undo();
        break;
      case "retry":
        await this.#retry();
        break;
      case "tool":
        await this.#tool(argument);
        break;
      case "think":
        say(
          this.#last?.reasoning?.trim() ??
            "The model did not think before the last answer, as far as it shows.",
        );
        break;
      case "tokens":
        await this.#tokens();
        break;
      case "copy":
        this.#copy();
        break;
      case "save":
        await saveConversation(argument, toKept(this.#conversation, model, now()));
        say(`Saved as ${argument}.`);
        break;
      case "load":
        await this.#load(argument);
        break;
    }
    return false;
  }

  #begin(conversation: Conversation, id = newConversationId()): void {
    this.#conversation = conversation;
    this.#id = id;
    this.#last = undefined;
  }

  #system(text: string): void {
    if (text === "") {
      this.#parts.say(this.#conversation.system ?? "The model is told nothing before the conversation.");
      return;
    }
    this.#conversation = { ...this.#conversation, system: text === "none" ? undefined : text };
    this.#parts.say(text === "none" ? "The system prompt is gone." : "The system prompt is set.");
  }

  #set(text: string): void {
    if (text === "") {
      this.#parts.say(settingLines(this.#settings).join("\n"));
      return;
    }
    const changed = changeSetting(this.#settings, text);
    if ("mistake" in changed) {
      this.#parts.warn(changed.mistake);
    } else {
      this.#settings = changed;
    }
  }

  #undo(): void {
    const before = withoutLastTurn(this.#conversation);
    if (before === undefined) {
      this.#parts.say("Nothing was said yet.");
      return;
    }
    const [said] = turnsOf(this.#conversation).at(-1) ?? [];
    this.#conversation = before;
    this.#parts.say(`Taken back: ${titleOf({ messages: said === undefined ? [] : [said] })}`);
  }

  async #retry(): Promise<void> {
    const before = withoutLastAnswer(this.#conversation);
    if (before === undefined) {
      this.#parts.say("Nothing was said yet.");
      return;
    }
    await this.#answer(before);
  }

  async #tool(result: string): Promise<void> {
    const call = this.#last?.toolCalls[0];
    if (call === undefined) {
      this.#parts.warn("The last answer calls no tool.");
      return;
    }
    const message: ChatMessage = { role: "tool", name: call.name, content: result };
    await this.#answer(withMessage(this.#conversation, message));
  }

  async #tokens(): Promise<void> {
    const { partner, signal, say } = this.#parts;
    const messages = messagesOf(this.#conversation);
    const options = { settings: this.#settings, signal };
    const tokens = messages.length === 0 ? 0 : await partner.countTokens(messages, options);
    say(tokensText({ tokens, contextLength: partner.contextLength, last: this.#last }));
  }

  #copy(): void {
    const answer = lastAnswer(this.#conversation);
    if (answer === undefined || this.#parts.copy === undefined) {
      this.#parts.warn(
        answer === undefined ? "There is no answer yet." : "There is no terminal to copy through.",
      );
      return;
    }
    this.#parts.copy(answer);
    this.#parts.say("Copied, where the terminal lets programs copy (OSC 52).");
  }

  async #load(argument: string): Promise<void> {
    const { say } = this.#parts;
    const isNumber = /^\d+$/.test(argument);
    if (argument !== "" && !isNumber) {
      this.#begin(fromKept(await loadConversation(argument)));
      say(`Goes on: ${titleOf(this.#conversation)}`);
      return;
    }
    const kept = await keptConversations();
    const chosen = kept[Number(argument) - 1];
    if (chosen !== undefined) {
      this.#begin(fromKept(chosen), chosen.id);
      say(`Goes on: ${titleOf(chosen)}`);
      return;
    }
    const lines = kept.map(
      (one, i) => `${i + 1}  ${one.savedAt.slice(0, 16).replace("T", " ")}  ${titleOf(one)}`,
    );
    say(
      lines.length === 0 ? "No conversation is kept." : `${lines.join("\n")}\n/load NUMBER goes on with one.`,
    );
  }

  /** Answers a conversation, which becomes this session's with the answer. */
  async #answer(asked: Conversation): Promise<void> {
    const answered = await this.#answering.answer(asked, this.#settings);
    if (answered === undefined) {
      return;
    }
    this.#conversation = answered.conversation;
    this.#last = answered.result;
    this.#isLeaving = answered.result === undefined;
    await this.#keep();
  }

  async #keep(): Promise<void> {
    if (!this.#parts.keeps) {
      return;
    }
    try {
      await keepConversation(this.#id, toKept(this.#conversation, this.#parts.model, now()));
    } catch (error) {
      this.#parts.warn(`The conversation cannot be kept: ${errorMessage(error)}`);
    }
  }
}

function now(): string {
  return new Date().toISOString();
}
