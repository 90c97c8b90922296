/** The runs that have ended, newest first. */
import { factWords } from "../client/answer-facts.ts";
import type { HistoryEntry } from "../client/history.ts";
import { outputParts } from "../client/outputs.ts";
import { button, fileButton, h } from "./dom.ts";
import { partView } from "./part-view.ts";
import { tokensView } from "./tokens-view.ts";

export interface HistoryActions {
  readonly reuse: (entry: HistoryEntry) => void;
  readonly clear: () => void;
  /** The runs with all words of a search, the newest first. */
  readonly list: (search: string) => readonly HistoryEntry[];
  readonly save: () => void;
  readonly importText: (text: string) => void;
}

export class HistoryView {
  readonly element = h("section", { class: "history" });
  readonly #list = h("ol", {});
  readonly #none = h("p", { class: "muted" });
  readonly #told = h("p", { class: "note", role: "status" });
  readonly #search: HTMLInputElement;
  /** What only makes sense where there are runs. */
  readonly #tools: readonly HTMLElement[];
  readonly #actions: HistoryActions;

  constructor(id: string, actions: HistoryActions) {
    this.#actions = actions;
    this.element.setAttribute("aria-labelledby", id);
    this.#search = h("input", {
      type: "search",
      "aria-label": "Search the earlier runs",
      placeholder: "Search",
    });
    this.#search.addEventListener("input", () => this.show());
    this.#tools = [
      this.#search,
      button("Export", { class: "quiet" }, actions.save),
      button("Clear", { class: "quiet" }, actions.clear),
    ];
    const tools = h("div", { class: "tools" }, ...this.#tools, fileButton("Import", actions.importText));
    this.element.append(
      h("header", {}, h("h3", { id }, "Earlier runs"), tools),
      this.#told,
      this.#none,
      this.#list,
    );
  }

  /** Says what became of an import. */
  tell(message: string, isProblem: boolean): void {
    this.#told.textContent = message;
    this.#told.className = isProblem ? "problem" : "note";
  }

  /** Whether there are runs, whatever is searched for. */
  get hasSome(): boolean {
    return this.#actions.list("").some(({ status }) => status !== "running");
  }

  show(): void {
    const open = new Set([...this.#list.querySelectorAll("details[open]")].map(({ id }) => id));
    const ended = this.#actions.list(this.#search.value).filter(({ status }) => status !== "running");
    const { hasSome } = this;
    this.#list.replaceChildren(...ended.map((entry) => this.#entry(entry, open.has(`run-${entry.id}`))));
    for (const tool of this.#tools) {
      tool.hidden = !hasSome;
    }
    this.#none.hidden = ended.length > 0;
    this.#none.textContent = hasSome ? "No run has these words." : "There are none.";
  }

  #entry(entry: HistoryEntry, isOpen: boolean): HTMLElement {
    const words = { running: "Running", completed: "Done", failed: "Failed", cancelled: "Stopped" };
    const at = new Date(entry.at);
    const isToday = at.toDateString() === new Date().toDateString();
    const time = isToday ? at.toLocaleTimeString() : at.toLocaleString();
    const summary = h(
      "summary",
      {},
      h("span", { class: "status", "data-status": entry.status }, words[entry.status]),
      h("time", { datetime: new Date(entry.at).toISOString() }, time),
      h("span", { class: "snippet" }, snippetOf(entry)),
    );
    const details = h("details", { id: `run-${entry.id}` }, summary);
    // Long texts are laid out only when somebody looks at them.
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) {
        details.append(this.#body(entry));
      }
    });
    details.open = isOpen;
    return h("li", {}, details);
  }

  #body(entry: HistoryEntry): HTMLElement {
    const inputs = Object.entries(entry.fields).filter(([, value]) => value !== "");
    const list = inputs.flatMap(([key, value]) => [h("dt", {}, key || "input"), h("dd", {}, value)]);
    const body = h("div", { class: "body" }, h("dl", {}, ...list));
    if (entry.facts !== undefined) {
      body.append(h("p", { class: "facts" }, factWords(entry.facts).join(" · ")));
    }
    if (entry.error !== undefined) {
      body.append(h("div", { class: "error" }, entry.error));
    }
    for (const warning of entry.warnings ?? []) {
      body.append(h("p", { class: "note" }, warning));
    }
    const parts =
      entry.status === "completed"
        ? outputParts(entry.output)
        : entry.partial
          ? [{ label: "Text so far", text: entry.partial, code: false }]
          : [];
    body.append(...parts.map(partView), ...(entry.tokens ?? []).map(tokensView));
    body.append(button("Use this input", {}, () => this.#actions.reuse(entry)));
    return body;
  }
}

const LONGEST_SNIPPET = 80;

/** A few words of the longest input, which tells runs apart best. */
function snippetOf({ fields }: HistoryEntry): string {
  const longest = Object.values(fields).reduce((a, b) => (b.length > a.length ? b : a), "");
  const line = longest.replaceAll(/\s+/g, " ").trim();
  return line.length > LONGEST_SNIPPET ? `${line.slice(0, LONGEST_SNIPPET)}…` : line;
}
