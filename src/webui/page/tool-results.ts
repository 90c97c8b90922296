import type { ToolCallEntry } from "../client/conversation.ts";
import { h } from "./dom.ts";

/**
 * Asks what the functions gave that the model called: nothing is called from here.
 *
 * @param prefix beginning of the ids of its elements
 */
export function toolResultsForm(
  prefix: string,
  calls: readonly ToolCallEntry[],
  onResults: (texts: readonly string[]) => void,
): HTMLFormElement {
  const fields = calls.map(({ function: { name } }, i) => {
    const area = h("textarea", { id: `${prefix}-result-${i}`, rows: 1, class: "code" });
    return {
      area,
      element: h("div", { class: "field" }, h("label", { for: area.id }, `What ${name} gave`), area),
    };
  });
  const form = h(
    "form",
    { class: "tool-results", "aria-label": "Results of the calls" },
    ...fields.map(({ element }) => element),
    h("p", { class: "note" }, "Nothing was called: the model goes on with what you say the calls gave."),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Send the results")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onResults(fields.map(({ area }) => area.value));
  });
  return form;
}
