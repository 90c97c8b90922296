/** A Markdown text on the page, which may still grow. Its elements are made one by one: nothing of the text is markup. */
import { markdownBlocks, type MarkdownNode } from "../client/markdown.ts";
import { copyButton, h } from "./dom.ts";

export class MarkdownView {
  readonly element = h("div", { class: "markdown" });
  /** The sources of the blocks that are on the page, one for each child. */
  #shown: string[] = [];

  show(text: string): void {
    const blocks = markdownBlocks(text);
    const same = blocks.findIndex(({ raw }, i) => raw !== this.#shown[i]);
    const kept = same === -1 ? blocks.length : same;
    while (this.element.childNodes.length > kept) {
      this.element.lastChild?.remove();
    }
    for (const { nodes } of blocks.slice(kept)) {
      this.element.append(h("div", {}, ...nodes.map(nodeOf)));
    }
    this.#shown = blocks.map(({ raw }) => raw);
  }
}

function nodeOf(node: MarkdownNode): Node | string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "code":
      return codeBlock(node.language, node.text);
    case "element": {
      const { tag, attributes, children } = node;
      const made = h(tag, attributes, ...children.map(nodeOf));
      if (made instanceof HTMLAnchorElement) {
        made.rel = "noopener noreferrer";
        made.target = "_blank";
      }
      // A wide table scrolls by itself, by the keyboard too.
      return tag === "table"
        ? h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Table" }, made)
        : made;
    }
  }
}

function codeBlock(language: string, text: string): HTMLElement {
  const code = h("code", {}, text);
  const words = language === "" ? "Code" : language;
  const head = h(
    "header",
    {},
    h("span", {}, words),
    copyButton("Copy", () => text),
  );
  const box = h("pre", { tabindex: 0, role: "group", "aria-label": `${words}, code` }, code);
  if (language !== "") {
    void colour(code, language, text);
  }
  return h("div", { class: "code-block" }, head, box);
}

/** Colours code when its colours are there; without them it stays as it is. */
async function colour(code: HTMLElement, language: string, text: string): Promise<void> {
  try {
    const { highlighted } = await import("./highlight.ts");
    const pieces = highlighted(language, text);
    if (pieces !== undefined) {
      code.replaceChildren(...pieces);
    }
  } catch {
    // The server is away: the code can be read all the same.
    return;
  }
}
