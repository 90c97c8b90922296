/** Elements in one expression. Text becomes text nodes, never markup. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** An element with attributes (true: present without a value; false and undefined: absent) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string | undefined)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) {
      continue;
    }
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A button with what a click on it does. */
export function button(label: string, attributes: Attributes, onClick: () => void): HTMLButtonElement {
  const element = h("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

/** The element of index.html with an id. @throws Error where there is none, or another kind */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (element instanceof type) {
    return element;
  }
  throw new Error(`index.html has no ${type.name} with the id ${id}`);
}

/** Tells people who do not see the page what happens on it: a few words at turning points. */
export function announce(words: string): void {
  byId("announcer", HTMLElement).textContent = words;
}

/** A button that asks for a file and hears its text. */
export function fileButton(label: string, onText: (text: string) => void): HTMLElement {
  const input = h("input", { type: "file", accept: ".json,application/json", hidden: true });
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    input.value = "";
    void file?.text().then(onText);
  });
  return h(
    "span",
    {},
    button(label, { class: "quiet" }, () => input.click()),
    input,
  );
}

/** Gives the person a file with a text. */
export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: url, download: name }).click();
  // The browser has taken the text when the click is done with.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A button that copies a text, if there is one, and says so for a moment. */
export function copyButton(label: string, text: () => string | undefined): HTMLButtonElement {
  const element = button(label, { class: "quiet" }, () => {
    const copied = text();
    if (copied === undefined) {
      return;
    }
    void copy(copied).then((isCopied) => {
      element.textContent = isCopied ? "Copied" : "Not copied: the browser forbids it";
      announce(element.textContent);
      setTimeout(() => (element.textContent = label), 1500);
    });
  });
  return element;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/**
 * Copies by a selection: browsers give the clipboard only to pages from this machine or over https, and a phone in the
 * local network has neither.
 */
function copyBySelection(text: string): boolean {
  const focused = document.activeElement;
  const area = h("textarea", { class: "unseen", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) {
    focused.focus();
  }
  return copied;
}
