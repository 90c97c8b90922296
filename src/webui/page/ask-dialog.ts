/** Questions in front of the page. */
import { button, h } from "./dom.ts";

/** Asks for a text. @returns undefined when the person gives none */
export function askForText(question: string, label: string, value: string): Promise<string | undefined> {
  const input = h("input", { id: "asked-text", autocomplete: "off" });
  input.value = value;
  const field = [h("label", { for: "asked-text" }, label), input];
  return ask(question, field, "Save").then((isGiven) => (isGiven ? input.value : undefined));
}

/** Asks whether something that cannot be undone is to be done. @param yes the words of the button that does it */
export function askWhether(question: string, yes: string): Promise<boolean> {
  return ask(question, [], yes);
}

function ask(question: string, fields: readonly HTMLElement[], yes: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const dialog = h(
    "dialog",
    { "aria-labelledby": "question" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "question" }, question),
      ...fields,
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", class: "primary", value: "yes" }, yes),
        button("Cancel", {}, () => dialog.close()),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    resolve(dialog.returnValue === "yes");
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}
