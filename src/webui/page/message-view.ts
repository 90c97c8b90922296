/** The messages of a conversation: what was said, thought and called. */
import { factWords } from "../client/answer-facts.ts";
import type { Message, ToolCallEntry } from "../client/conversation.ts";
import type { WireToolCall } from "../client/wire.ts";
import { button, copyButton, h } from "./dom.ts";
import { factsView } from "./facts-view.ts";
import { MarkdownView } from "./markdown-view.ts";
import { tokensView } from "./tokens-view.ts";

/** What can be done with messages. */
export interface MessageActions {
  readonly edit: (index: number, text: string) => void;
  readonly again: (index: number) => void;
}

/** A message that is whole. */
export function messageView(message: Message, index: number, actions: MessageActions): HTMLElement {
  switch (message.role) {
    case "user":
      return userView(message, index, actions);
    case "assistant":
      return answerView(message, index, actions);
    default:
      return h(
        "li",
        { class: "message other" },
        head(message.role === "tool" ? "Result" : message.role),
        h("pre", { class: "text", tabindex: 0 }, message.content),
      );
  }
}

function head(who: string, ...buttons: readonly HTMLElement[]): HTMLElement {
  return h("header", {}, h("h3", {}, who), h("span", { class: "actions" }, ...buttons));
}

function userView({ content }: Message, index: number, actions: MessageActions): HTMLElement {
  const body = h("div", { class: "said" }, content);
  const edit = button("Edit", { class: "quiet" }, () => {
    const area = h("textarea", { rows: 4, "aria-label": "What you said" });
    area.value = content;
    const form = h(
      "form",
      { class: "edit" },
      area,
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", class: "primary" }, "Send again"),
        button("Cancel", {}, () => {
          form.replaceWith(body);
          edit.focus();
        }),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (area.value.trim() !== "") {
        actions.edit(index, area.value);
      }
    });
    body.replaceWith(form);
    area.focus();
  });
  return h(
    "li",
    { class: "message user" },
    head(
      "You",
      copyButton("Copy", () => content),
      edit,
    ),
    body,
  );
}

function answerView(message: Message, index: number, actions: MessageActions): HTMLElement {
  const { content, reasoning, facts, tokens, tool_calls: calls = [] } = message;
  const text = new MarkdownView();
  text.show(content);
  return h(
    "li",
    { class: "message answer" },
    head(
      "Answer",
      copyButton("Copy", () => content),
      button("Answer again", { class: "quiet" }, () => actions.again(index)),
    ),
    reasoning === undefined ? undefined : reasoningView(reasoning).element,
    text.element,
    ...calls.map((call: ToolCallEntry) => callView(call.function)),
    facts === undefined ? undefined : factsView(facts, factWords(facts)),
    tokens === undefined ? undefined : tokensView(tokens),
  );
}

function reasoningView(text: string): { readonly element: HTMLDetailsElement; readonly node: Text } {
  const node = document.createTextNode(text);
  const box = h("pre", { class: "text", tabindex: 0 }, node);
  return { element: h("details", { class: "reasoning" }, h("summary", {}, "Reasoning"), box), node };
}

/** A call of a function: its name and what it is called with. */
function callView({ name, arguments: given }: WireToolCall): HTMLElement {
  const json = JSON.stringify(given, null, 2);
  return h(
    "div",
    { class: "call" },
    h("h4", {}, `Calls ${name}`),
    h("pre", { class: "text code", tabindex: 0, role: "group", "aria-label": `Arguments of ${name}` }, json),
  );
}

/** What the answer that is being written has so far. */
export interface AnswerSoFar {
  readonly text: string;
  readonly reasoning?: string;
  readonly toolCalls?: readonly WireToolCall[];
}

/** The answer that is being written. */
export class LiveAnswer {
  readonly element: HTMLElement;
  readonly #words = h("p", { class: "facts" });
  readonly #progress = h("progress", { max: 1, "aria-label": "Progress", hidden: true });
  readonly #text = new MarkdownView();
  readonly #calls = h("div", {});
  #reasoning: ReturnType<typeof reasoningView> | undefined;

  constructor() {
    this.#text.element.classList.add("live");
    this.element = h(
      "li",
      { class: "message answer", "aria-busy": "true" },
      head("Answer"),
      this.#text.element,
      this.#calls,
      this.#progress,
      this.#words,
    );
  }

  /** @param words what goes on, in words; @param progress how far it is, 0 .. 1, where it is known */
  show(answer: AnswerSoFar | undefined, words: string, progress: number | undefined): void {
    this.#words.textContent = words;
    this.#progress.hidden = progress === undefined;
    this.#progress.value = progress ?? 0;
    const { text = "", reasoning, toolCalls = [] } = answer ?? {};
    if (reasoning !== undefined) {
      this.#showReasoning(reasoning, text !== "");
    }
    this.#text.show(text);
    for (const call of toolCalls.slice(this.#calls.childElementCount)) {
      this.#calls.append(callView(call));
    }
  }

  /** Reasoning is open while it is all that there is, and folds when the answer begins. */
  #showReasoning(text: string, isOver: boolean): void {
    if (this.#reasoning === undefined) {
      this.#reasoning = reasoningView("");
      this.#reasoning.element.open = true;
      this.#text.element.before(this.#reasoning.element);
    }
    const { element, node } = this.#reasoning;
    const box = node.parentElement;
    node.data = text;
    if (box !== null) {
      box.scrollTop = box.scrollHeight;
    }
    if (isOver && element.dataset["folded"] === undefined) {
      element.dataset["folded"] = "";
      element.open = false;
    }
  }
}
