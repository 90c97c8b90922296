/** Asks for the API key. It stays in the memory of the page. */
import { button, h } from "./dom.ts";

/** Asks the person for the key. @returns undefined when the person gives none */
export function askForKey(wasWrong: boolean): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const input = h("input", { id: "api-key", type: "password", autocomplete: "off", required: true });
  const dialog = h(
    "dialog",
    { "aria-labelledby": "api-key-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "api-key-title" }, "This server asks for an API key"),
      wasWrong ? h("p", { class: "problem" }, "That key is not the right one.") : undefined,
      h("label", { for: "api-key" }, "API key"),
      input,
      h("p", { class: "note" }, "It is kept until this page is reloaded."),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", class: "primary", value: "use" }, "Use it"),
        button("Cancel", {}, () => dialog.close()),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    resolve(dialog.returnValue === "use" ? input.value : undefined);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}
