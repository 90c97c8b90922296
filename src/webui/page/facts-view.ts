import { contextUse, type AnswerFacts } from "../client/answer-facts.ts";
import { h } from "./dom.ts";

/** What is known of an answer, in words, and a bar of the context that is used. */
export function factsView(facts: AnswerFacts, words: readonly string[]): HTMLElement {
  const use = contextUse(facts);
  const line = h("p", {}, words.join(" · "));
  if (use === undefined) {
    return h("div", { class: "answer-facts" }, line);
  }
  const { used, total } = use;
  const bar = h("meter", {
    min: 0,
    max: total,
    high: Math.round(0.9 * total),
    value: Math.min(used, total),
    "aria-label": use.words,
  });
  // What the meter says is said once.
  const said = h("span", { "aria-hidden": "true" }, use.words);
  return h("div", { class: "answer-facts" }, line, h("div", { class: "context" }, bar, said));
}
