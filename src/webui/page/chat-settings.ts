/** What goes with every message of a conversation: what the model is told first, and the other inputs of the workflow. */
import { fileSystem, settingsOf, takesSystem } from "../client/conversation-input.ts";
import type { WireConversation, WireWorkflow } from "../client/wire.ts";
import { h } from "./dom.ts";
import type { Drafts } from "./drafts.ts";
import { FormView } from "./form-view.ts";

export class ChatSettings {
  readonly element: HTMLDetailsElement;
  readonly #system: HTMLTextAreaElement | undefined;
  readonly #form: FormView;

  /** @param onSystem hears what the model is to be told first */
  constructor(
    prefix: string,
    { workflow_id: key, input }: WireWorkflow,
    places: WireConversation,
    drafts: Drafts,
    onSystem: (text: string) => void,
  ) {
    const id = `${prefix}-system`;
    if (takesSystem(places)) {
      const placeholder = fileSystem(input, places) ?? "not set";
      this.#system = h("textarea", { id, rows: 2, placeholder, spellcheck: "false" });
      const area = this.#system;
      area.addEventListener("change", () => onSystem(area.value));
    }
    const others = settingsOf(input, places);
    this.#form = new FormView(prefix, others, () => drafts.set(key, this.#form.values()));
    this.#form.fill(drafts.get(key) ?? {});
    const hasSome = this.#system !== undefined || others.length > 0;
    const field =
      this.#system === undefined
        ? undefined
        : h("div", { class: "field" }, h("label", { for: id }, "System prompt"), this.#system);
    this.element = h(
      "details",
      { class: "settings", hidden: !hasSome },
      h("summary", {}, "Settings"),
      field,
      others.length === 0 ? undefined : this.#form.element,
    );
  }

  showSystem(text: string | undefined): void {
    if (this.#system !== undefined) {
      this.#system.value = text ?? "";
    }
  }

  /** The input that the form makes; undefined when something is wrong, which now stands at its field. */
  input(): { readonly value: unknown } | undefined {
    return this.#form.input();
  }

  showProblem(field: string, message: string): void {
    this.#form.showProblem(field, message);
  }
}
