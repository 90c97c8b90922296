/** The tokens of a text: how likely each was, and what could have stood in its place. */
import { shownTokens, type KeptToken } from "../client/token-alternatives.ts";
import { h } from "./dom.ts";

/** A part that is folded until somebody looks; arrows go from token to token. */
export function tokensView(kept: readonly KeptToken[]): HTMLElement {
  const details = h("details", { class: "tokens" }, h("summary", {}, "Token alternatives"));
  // Thousands of tokens are laid out only when somebody looks at them.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(...content(kept));
    }
  });
  return details;
}

function content(kept: readonly KeptToken[]): HTMLElement[] {
  const told = h(
    "p",
    { class: "told", role: "status" },
    "Point at a token, or go from one to the next by the arrows.",
  );
  const tokens = shownTokens(kept);
  const spans = tokens.map(({ text, level }, i) =>
    h("span", { class: "token", "data-level": level, tabindex: i === 0 ? 0 : -1 }, text),
  );
  const tell = (target: EventTarget | null): void => {
    const token = tokens[spans.findIndex((span) => span === target)];
    if (token !== undefined) {
      told.textContent = token.words;
    }
  };
  const text = h("div", { class: "text", role: "group", "aria-label": "Tokens" }, ...spans);
  text.addEventListener("pointerover", ({ target }) => tell(target));
  text.addEventListener("focusin", ({ target }) => tell(target));
  text.addEventListener("keydown", (event) => {
    const at = spans.findIndex((span) => span === event.target);
    const to = new Map([
      ["ArrowRight", at + 1],
      ["ArrowLeft", at - 1],
      ["Home", 0],
      ["End", spans.length - 1],
    ]).get(event.key);
    const next = to === undefined ? undefined : spans[to];
    if (next === undefined) {
      return;
    }
    event.preventDefault();
    spans[at]?.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
  return [told, text];
}
