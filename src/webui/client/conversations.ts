/** The conversations of this browser. They leave the machine never; each is an item of the browser's storage. */
import * as z from "zod/mini";
import { storedConversation } from "./conversation-file.ts";
import { matches, type Conversation } from "./conversation.ts";

/** The part of `Storage` that is needed. */
export type ItemStorage = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

const PREFIX = "model-compose.conversation.";

/** The conversations of one place. */
export class Conversations {
  readonly #storage: ItemStorage;
  /** Those that the browser has no room for: they last until the page is left. */
  readonly #unkept = new Map<string, Conversation>();

  constructor(storage: ItemStorage) {
    this.#storage = storage;
  }

  /** Those of a workflow that have all words of a search, the one that changed last first. */
  list(workflow: string, search = ""): Conversation[] {
    const found = new Map(this.#kept().map((one) => [one.id, one]));
    for (const one of this.#unkept.values()) {
      found.set(one.id, one);
    }
    return [...found.values()]
      .filter((one) => one.workflow === workflow && matches(one, search))
      .sort((a, b) => b.changedAt - a.changedAt);
  }

  get(id: string): Conversation | undefined {
    return this.#unkept.get(id) ?? this.#read(PREFIX + id);
  }

  /** Writes a conversation down. @returns whether the browser keeps it */
  put(conversation: Conversation): boolean {
    const { messages } = conversation;
    const hasTokens = messages.some(({ tokens }) => tokens !== undefined);
    // What was said matters more than what could have been.
    const short = { ...conversation, messages: messages.map(({ tokens: _, ...message }) => message) };
    for (const kept of hasTokens ? [conversation, short] : [conversation]) {
      try {
        this.#storage.setItem(PREFIX + conversation.id, JSON.stringify(kept));
        this.#unkept.delete(conversation.id);
        return true;
      } catch {
        // Full or forbidden.
        continue;
      }
    }
    this.#unkept.set(conversation.id, conversation);
    return false;
  }

  delete(id: string): void {
    this.#unkept.delete(id);
    this.#storage.removeItem(PREFIX + id);
  }

  #kept(): Conversation[] {
    const keys = Array.from({ length: this.#storage.length }, (_, i) => this.#storage.key(i));
    return keys.flatMap((key) => (key?.startsWith(PREFIX) ? (this.#read(key) ?? []) : []));
  }

  /** @returns undefined for what is not there, or is none of ours */
  #read(key: string): Conversation | undefined {
    try {
      const parsed = z.safeParse(storedConversation, JSON.parse(this.#storage.getItem(key) ?? "null"));
      return parsed.success ? parsed.data : undefined;
    } catch {
      return undefined;
    }
  }
}

/** An id that no other conversation of this browser has. Pages that are not of this machine have no crypto.randomUUID. */
export function newId(now: number, random: () => number = Math.random): string {
  return `${now.toString(36)}-${Math.floor(random() * 2 ** 40).toString(36)}`;
}
