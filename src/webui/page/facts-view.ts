import { contextUse, factWords, type AnswerFacts } from "../client/answer-facts.ts";
import { h } from "./dom.ts";

/** What is known of an answer: who made it and how, and a bar of the context that is used. */
export function factsView(facts: AnswerFacts): HTMLElement {
  const use = contextUse(facts);
  const words = h("p", { class: "facts" }, factWords(facts).join(" · "));
  if (use === undefined) {
    return h("div", { class: "answer-facts" }, words);
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
  const said = h("span", { class: "facts", "aria-hidden": "true" }, use.words);
  return h("div", { class: "answer-facts" }, words, h("div", { class: "context" }, bar, said));
}
