/** Where a person writes the next message. */
import { button, h } from "./dom.ts";

export class Composer {
  readonly element: HTMLFormElement;
  readonly #area: HTMLTextAreaElement;
  readonly #send = h("button", { type: "submit", class: "primary" }, "Send");
  readonly #stop: HTMLButtonElement;

  /** @param id text that is unique on the page */
  constructor(id: string, onSend: () => void, onStop: () => void) {
    // On a screen that is touched, the key is wanted for new lines.
    const isTouched = matchMedia("(hover: none) and (pointer: coarse)").matches;
    const placeholder = isTouched ? "Say something" : "Enter sends, Shift and Enter begin a new line";
    this.#area = h("textarea", { id, rows: 2, placeholder, spellcheck: "false" });
    this.#area.addEventListener("keydown", (event) => {
      const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
      if (event.key === "Enter" && isPlain && !isTouched && !event.isComposing) {
        event.preventDefault();
        onSend();
      }
    });
    this.#stop = button("Stop", { disabled: true }, onStop);
    this.element = h(
      "form",
      { class: "composer", novalidate: true },
      h("label", { for: id, class: "unseen" }, "Your message"),
      this.#area,
      h("div", { class: "buttons" }, this.#send, this.#stop),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      onSend();
    });
  }

  get text(): string {
    return this.#area.value;
  }

  set text(text: string) {
    this.#area.value = text;
  }

  focus(): void {
    this.#area.focus({ preventScroll: true });
  }

  setAnswering(isAnswering: boolean): void {
    const [on, off] = isAnswering ? [this.#stop, this.#send] : [this.#send, this.#stop];
    on.disabled = false;
    // A button that is switched off loses the focus, and the keyboard its place.
    if (off === document.activeElement) {
      on.focus({ preventScroll: true });
    }
    off.disabled = true;
  }
}
