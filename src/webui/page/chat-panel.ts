/** A workflow that answers conversations: those that there are, the one that is open, and what is said next. */
import { answerMessage } from "../client/answer-message.ts";
import { endWords } from "../client/answer-facts.ts";
import { exportAll, exportOne, importConversations } from "../client/conversation-file.ts";
import { conversationInput, ConversationInputError } from "../client/conversation-input.ts";
import { newId } from "../client/conversations.ts";
import {
  isOpen,
  newConversation,
  openCalls,
  reduce,
  titleOf,
  type Conversation,
  type ConversationAction,
  type Message,
} from "../client/conversation.ts";
import { ForeignFileError } from "../client/foreign-file.ts";
import type { WireConversation, WireWorkflow } from "../client/wire.ts";
import { Answering } from "./answering.ts";
import { askForText, askWhether } from "./ask-dialog.ts";
import { ChatSettings } from "./chat-settings.ts";
import { Composer } from "./composer.ts";
import { ConversationList } from "./conversation-list.ts";
import { announce, button, download, h } from "./dom.ts";
import { messageView } from "./message-view.ts";
import type { Panel, PanelServices } from "./panel.ts";
import { toolResultsForm } from "./tool-results.ts";

/** The most characters of an answer that are read to people who do not see the page. */
const LONGEST_SPOKEN = 500;

export class ChatPanel implements Panel {
  readonly element: HTMLElement;
  readonly #workflow: WireWorkflow;
  readonly #places: WireConversation;
  readonly #services: PanelServices;
  readonly #list: ConversationList;
  readonly #settings: ChatSettings;
  readonly #composer: Composer;
  readonly #title = h("h3", {});
  readonly #messages = h("ol", { class: "messages", "aria-label": "Conversation" });
  readonly #below = h("div", { class: "below" });
  readonly #notice = h("div", { class: "error", role: "alert", hidden: true });
  #conversation: Conversation;
  /** The answers that are being written, by the ids of their conversations. */
  readonly #answering = new Map<string, Answering>();
  readonly #views = new WeakMap<Message, HTMLElement>();

  /** @param id text that is unique on the page */
  constructor(id: string, workflow: WireWorkflow, places: WireConversation, services: PanelServices) {
    this.#workflow = workflow;
    this.#places = places;
    this.#services = services;
    const { conversations } = services;
    const key = workflow.workflow_id;
    this.#conversation = conversations.list(key)[0] ?? this.#fresh();
    this.#settings = new ChatSettings(id, workflow, places, services.drafts, (text) =>
      this.#change({ type: "system", text }),
    );
    this.#composer = new Composer(
      `${id}-message`,
      () => this.run(),
      () => this.stop(),
    );
    this.#list = new ConversationList(id, {
      list: (search) => conversations.list(key, search),
      open: (one) => this.#open(one),
      begin: () => this.#open(this.#fresh()),
      exportAll: () => download("conversations.json", exportAll(conversations.list(key))),
      importText: (text) => this.#import(text),
    });
    this.element = h(
      "div",
      { class: "panel chat" },
      h("h2", {}, workflow.title ?? workflow.name ?? "Conversation"),
      workflow.description === undefined ? undefined : h("p", { class: "description" }, workflow.description),
      h(
        "div",
        { class: "talk" },
        this.#list.element,
        h(
          "section",
          { class: "conversation", "aria-label": "The open conversation" },
          this.#head(),
          this.#settings.element,
          this.#messages,
          this.#notice,
          this.#below,
          this.#composer.element,
        ),
      ),
    );
    this.#open(this.#conversation);
  }

  /** Says what stands in the composer. */
  run(): void {
    const { text } = this.#composer;
    if (text.trim() === "" || this.#answering.has(this.#conversation.id)) {
      return;
    }
    this.#composer.text = "";
    this.#say({ type: "say", text });
  }

  stop(): void {
    if (this.#answering.get(this.#conversation.id)?.stop() === true) {
      announce("Stopping");
    }
  }

  #fresh(): Conversation {
    const now = Date.now();
    return newConversation(newId(now), this.#workflow.workflow_id, now);
  }

  #head(): HTMLElement {
    const rename = async (): Promise<void> => {
      const title = await askForText("Rename the conversation", "Name", titleOf(this.#conversation));
      if (title !== undefined) {
        this.#change({ type: "rename", title });
      }
    };
    const remove = async (): Promise<void> => {
      const { id } = this.#conversation;
      if (await askWhether(`Delete “${titleOf(this.#conversation)}”?`, "Delete")) {
        this.#answering.get(id)?.stop();
        this.#services.conversations.delete(id);
        this.#open(this.#services.conversations.list(this.#workflow.workflow_id)[0] ?? this.#fresh());
      }
    };
    const save = (): void => download("conversation.json", exportOne(this.#conversation));
    return h(
      "header",
      {},
      this.#title,
      h(
        "span",
        { class: "actions" },
        button("Rename", { class: "quiet" }, () => void rename()),
        button("Export", { class: "quiet" }, save),
        button("Delete", { class: "quiet" }, () => void remove()),
      ),
    );
  }

  #open(conversation: Conversation): void {
    this.#conversation = conversation;
    this.#settings.showSystem(conversation.system);
    this.#notice.hidden = true;
    const { id, pending } = conversation;
    if (pending !== undefined && !this.#answering.has(id)) {
      // The page was left while the answer was written: it goes on from where it is.
      void this.#follow(id, pending.at, () => Promise.resolve(pending.task));
    }
    this.#show();
  }

  #import(text: string): void {
    try {
      const now = Date.now();
      const found = importConversations(text).map((one, i) => ({
        ...this.#fresh(),
        ...one,
        changedAt: now - i,
      }));
      const kept = found.map((one) => this.#services.conversations.put(one));
      const [first] = found;
      if (first !== undefined) {
        this.#open(first);
      }
      this.#warnOfRoom(kept.every(Boolean));
      announce(
        found.length === 1
          ? "One conversation was imported."
          : `${found.length} conversations were imported.`,
      );
    } catch (error) {
      if (!(error instanceof ForeignFileError)) {
        throw error;
      }
      this.#tell(error.message);
    }
  }

  #tell(message: string): void {
    this.#notice.textContent = message;
    this.#notice.hidden = false;
  }

  #warnOfRoom(isKept: boolean): void {
    if (!isKept) {
      this.#tell(
        "The browser has no room for this conversation: it lasts until the page is left. Export it, or delete others.",
      );
    }
  }

  /** Changes the open conversation, or another one by its id. @returns the conversation; undefined: it was deleted */
  #change(action: ConversationAction, id = this.#conversation.id): Conversation | undefined {
    const isShown = id === this.#conversation.id;
    const before = isShown ? this.#conversation : this.#services.conversations.get(id);
    if (before === undefined) {
      return undefined;
    }
    const after = reduce(before, action, Date.now());
    if (isShown) {
      this.#conversation = after;
    }
    // What nobody has said anything in is not worth a place in the list.
    if (after.messages.length > 0) {
      this.#warnOfRoom(this.#services.conversations.put(after));
    }
    this.#show();
    return after;
  }

  /** Changes the conversation so that it asks for an answer, and has it answered. */
  #say(action: ConversationAction): void {
    if (this.#answering.has(this.#conversation.id)) {
      return;
    }
    const settings = this.#settings.input();
    if (settings === undefined) {
      return;
    }
    this.#notice.hidden = true;
    const after = this.#change(action);
    if (after === undefined || !isOpen(after)) {
      return;
    }
    try {
      const input = conversationInput(after, this.#places, settings.value);
      const { api } = this.#services;
      const begin = async (): Promise<string> => (await api.start(this.#workflow.workflow_id, input)).task_id;
      void this.#follow(after.id, Date.now(), begin);
      this.#composer.focus();
    } catch (error) {
      if (!(error instanceof ConversationInputError)) {
        throw error;
      }
      this.#tell(error.message);
    }
  }

  /** Shows an answer until it is whole, and puts it into its conversation. */
  async #follow(id: string, at: number, begin: () => Promise<string>): Promise<void> {
    const answering = new Answering(
      this.#services.api,
      (task) => this.#change({ type: "began", task, at }, id),
      (change) => this.#followEnd(change),
    );
    this.#answering.set(id, answering);
    this.#show();
    announce("Answering");
    const state = await answering.run(at, begin);
    this.#answering.delete(id);
    const message = answerMessage(state, Date.now());
    const error = state.error?.message;
    this.#followEnd(() => {
      this.#change(
        state.status === "completed" ? { type: "answered", message } : { type: "broke-off", message, error },
        id,
      );
    });
    if (error === undefined) {
      const { content, facts } = message;
      const spoken = content.length > LONGEST_SPOKEN ? `${content.slice(0, LONGEST_SPOKEN)} …` : content;
      announce(`Answer, ${endWords(facts?.ended ?? "eos")}: ${spoken}`);
    } else if (state.error?.field !== undefined) {
      this.#settings.showProblem(state.error.field, state.error.message);
    }
  }

  /** Makes a change; who reads the end of the conversation goes on to see its end. */
  #followEnd(change: () => void): void {
    const root = document.documentElement;
    const isSeen = this.element.offsetParent !== null;
    const follows = isSeen && root.scrollHeight - innerHeight - scrollY < 80;
    change();
    if (follows) {
      scrollTo({ top: root.scrollHeight, behavior: "instant" });
    }
  }

  #show(): void {
    const { id, messages, error } = this.#conversation;
    const answering = this.#answering.get(id);
    this.#title.textContent = titleOf(this.#conversation);
    const views = messages.map((message, i) => this.#view(message, i));
    this.#messages.replaceChildren(...views, ...(answering === undefined ? [] : [answering.live.element]));
    this.#messages.hidden = this.#messages.childElementCount === 0;
    this.#below.replaceChildren(...(answering === undefined ? this.#belowAnswer(error) : []));
    this.#composer.setAnswering(answering !== undefined);
    this.#list.show(id);
  }

  #view(message: Message, index: number): HTMLElement {
    let view = this.#views.get(message);
    if (view === undefined) {
      const actions = {
        edit: (at: number, text: string) => this.#say({ type: "edit", index: at, text }),
        again: (at: number) => this.#say({ type: "again", index: at }),
      };
      view = messageView(message, index, actions);
      this.#views.set(message, view);
    }
    return view;
  }

  /** What can be done now: try again, or tell what the calls of the model gave. */
  #belowAnswer(error: string | undefined): HTMLElement[] {
    const last = this.#conversation.messages.length - 1;
    const again = (): void => this.#say({ type: "again", index: last });
    const shown: HTMLElement[] =
      error === undefined ? [] : [h("div", { class: "error", role: "alert" }, error)];
    if (error !== undefined || isOpen(this.#conversation)) {
      shown.push(button("Try again", {}, again));
    }
    const calls = openCalls(this.#conversation);
    // A workflow that takes a user's last message beside a history has no place for results.
    if (calls.length > 0 && this.#places.messages !== undefined) {
      shown.push(
        toolResultsForm(this.#conversation.id, calls, (texts) => this.#say({ type: "tool-results", texts })),
      );
    }
    return shown;
  }
}
