/** The runs that have ended, newest first. */
import type { HistoryEntry } from "../client/history.ts";
import { outputParts } from "../client/outputs.ts";
import { button, h } from "./dom.ts";
import { partView } from "./part-view.ts";

export interface HistoryActions {
  readonly reuse: (entry: HistoryEntry) => void;
  readonly clear: () => void;
}

export class HistoryView {
  readonly element = h("section", { class: "history", hidden: true });
  readonly #list = h("ol", {});
  readonly #actions: HistoryActions;

  constructor(id: string, actions: HistoryActions) {
    this.#actions = actions;
    this.element.setAttribute("aria-labelledby", id);
    const clear = button("Clear", { class: "quiet" }, actions.clear);
    this.element.append(h("header", {}, h("h3", { id }, "Earlier runs"), clear), this.#list);
  }

  show(entries: readonly HistoryEntry[]): void {
    const open = new Set([...this.#list.querySelectorAll("details[open]")].map(({ id }) => id));
    const ended = entries.filter(({ status }) => status !== "running");
    this.#list.replaceChildren(...ended.map((entry) => this.#entry(entry, open.has(`run-${entry.id}`))));
    this.element.hidden = ended.length === 0;
  }

  #entry(entry: HistoryEntry, isOpen: boolean): HTMLElement {
    const words = { running: "Running", completed: "Done", failed: "Failed", cancelled: "Stopped" };
    const time = new Date(entry.at).toLocaleTimeString();
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
    const facts = factsOf(entry);
    if (facts !== "") {
      body.append(h("p", { class: "facts" }, facts));
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
    body.append(...parts.map(partView));
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

function factsOf({ seconds, tokens, tokensPerSecond, seeds = [] }: HistoryEntry): string {
  const facts = [
    seconds === undefined ? undefined : `${seconds.toFixed(1)} s`,
    tokens === undefined ? undefined : `${tokens} tokens`,
    tokensPerSecond === undefined ? undefined : `${tokensPerSecond.toFixed(1)} tokens/s`,
    seeds.length === 0 ? undefined : `seed ${[...new Set(seeds)].join(", ")}`,
  ];
  return facts.filter((fact) => fact !== undefined).join(" · ");
}
