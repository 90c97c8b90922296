/** Tabs as the ARIA Authoring Practices describe them: one of them in the tab order, arrows between them. */
import { h } from "./dom.ts";

export interface TabSpec {
  /** Name of the tab, behind `#` in the address. */
  readonly key: string;
  readonly label: string;
  readonly panel: HTMLElement;
  /** Hears whether the panel is what is seen. */
  readonly onShown?: (isShown: boolean) => void;
}

export class Tabs {
  readonly element: HTMLElement;
  readonly #specs: readonly TabSpec[];
  readonly #tabs: readonly HTMLButtonElement[];
  #selected = 0;

  constructor(specs: readonly TabSpec[], label: string) {
    this.#specs = specs;
    this.#tabs = specs.map((spec, i) => {
      const id = `tab-${i}`;
      const panelId = `panel-${i}`;
      spec.panel.id = panelId;
      spec.panel.setAttribute("role", "tabpanel");
      spec.panel.setAttribute("aria-labelledby", id);
      const tab = h("button", { id, type: "button", role: "tab", "aria-controls": panelId }, spec.label);
      tab.addEventListener("click", () => this.select(i));
      tab.addEventListener("keydown", (event) => this.#onKey(event));
      return tab;
    });
    this.element = h("div", { class: "tabs", role: "tablist", "aria-label": label }, ...this.#tabs);
    const fromAddress = (): void => {
      const key = location.hash.slice(1);
      this.select(
        Math.max(
          0,
          specs.findIndex((spec) => encodeURIComponent(spec.key) === key),
        ),
      );
    };
    addEventListener("hashchange", fromAddress);
    fromAddress();
  }

  get selected(): number {
    return this.#selected;
  }

  select(index: number): void {
    const before = this.#specs[this.#selected];
    this.#selected = index;
    for (const [i, tab] of this.#tabs.entries()) {
      const isSelected = i === index;
      tab.setAttribute("aria-selected", String(isSelected));
      tab.tabIndex = isSelected ? 0 : -1;
      const panel = this.#specs[i]?.panel;
      if (panel !== undefined) {
        panel.hidden = !isSelected;
      }
    }
    const key = this.#specs[index]?.key ?? "";
    history.replaceState(null, "", `#${encodeURIComponent(key)}`);
    before?.onShown?.(false);
    this.#specs[index]?.onShown?.(true);
  }

  #onKey(event: KeyboardEvent): void {
    const last = this.#tabs.length - 1;
    const next = new Map([
      ["ArrowRight", this.#selected === last ? 0 : this.#selected + 1],
      ["ArrowLeft", this.#selected === 0 ? last : this.#selected - 1],
      ["Home", 0],
      ["End", last],
    ]).get(event.key);
    if (next === undefined) {
      return;
    }
    event.preventDefault();
    this.select(next);
    this.#tabs[next]?.focus();
  }
}
