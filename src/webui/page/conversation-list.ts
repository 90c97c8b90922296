/** The conversations of a workflow: which there are, and which one is open. */
import { titleOf, type Conversation } from "../client/conversation.ts";
import { button, fileButton, h } from "./dom.ts";

export interface ConversationListActions {
  readonly list: (search: string) => readonly Conversation[];
  readonly open: (conversation: Conversation) => void;
  readonly begin: () => void;
  readonly exportAll: () => void;
  readonly importText: (text: string) => void;
}

export class ConversationList {
  readonly element: HTMLDetailsElement;
  readonly #search: HTMLInputElement;
  readonly #list = h("ul", {});
  readonly #none = h("p", { class: "muted" });
  readonly #actions: ConversationListActions;
  #open = "";

  /** @param prefix beginning of the ids of its elements */
  constructor(prefix: string, actions: ConversationListActions) {
    this.#actions = actions;
    const id = `${prefix}-search`;
    this.#search = h("input", { id, type: "search", autocomplete: "off", placeholder: "Search" });
    this.#search.addEventListener("input", () => this.show(this.#open));
    this.element = h(
      "details",
      // On a phone the list would push the conversation off the screen.
      { class: "conversations", open: matchMedia("(min-width: 56rem)").matches },
      h("summary", {}, "Conversations"),
      button("New conversation", {}, () => actions.begin()),
      h("label", { for: id, class: "unseen" }, "Search the conversations"),
      this.#search,
      this.#list,
      this.#none,
      h(
        "div",
        { class: "buttons" },
        button("Export all", { class: "quiet" }, () => actions.exportAll()),
        fileButton("Import", (text) => actions.importText(text)),
      ),
    );
  }

  /** @param open id of the conversation that is open */
  show(open: string): void {
    this.#open = open;
    const found = this.#actions.list(this.#search.value);
    this.#list.replaceChildren(...found.map((one) => this.#item(one)));
    this.#list.hidden = found.length === 0;
    this.#none.hidden = found.length > 0;
    this.#none.textContent =
      this.#search.value.trim() === "" ? "Nothing was said yet." : "No conversation has these words.";
  }

  #item(conversation: Conversation): HTMLElement {
    const isOpen = conversation.id === this.#open;
    const item = button(titleOf(conversation), { "aria-current": isOpen ? "true" : undefined }, () => {
      this.#actions.open(conversation);
    });
    item.title = new Date(conversation.changedAt).toLocaleString();
    return h("li", {}, item);
  }
}
