/** Light or dark: the system's choice until the person makes one. */
export type Theme = "light" | "dark";

const KEY = "model-compose.theme";

/** The person's choice; undefined where the system's is taken. */
export function chosenTheme(): Theme | undefined {
  const stored = read();
  return stored === "light" || stored === "dark" ? stored : undefined;
}

/** Shows the page in a choice of colours; undefined: the system's. */
export function applyTheme(theme: Theme | undefined): void {
  if (theme === undefined) {
    delete document.documentElement.dataset["theme"];
  } else {
    document.documentElement.dataset["theme"] = theme;
  }
}

/** Lets a button switch between light and dark. */
export function setUpThemeButton(button: HTMLButtonElement): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const current = (): Theme => chosenTheme() ?? (system.matches ? "dark" : "light");
  const show = (): void => {
    const other = current() === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.title = `Switch to ${other} colours`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    const other = current() === "dark" ? "light" : "dark";
    // Where the choice is what the system says, the page follows the system again.
    const choice = other === (system.matches ? "dark" : "light") ? undefined : other;
    write(choice);
    applyTheme(choice);
    show();
  });
  system.addEventListener("change", show);
  show();
}

/** The choice in a browser that forbids storage; it lasts until the page is left. */
let unsaved: Theme | undefined;

function read(): string | null | undefined {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return unsaved;
  }
}

function write(theme: Theme | undefined): void {
  unsaved = theme;
  try {
    if (theme === undefined) {
      localStorage.removeItem(KEY);
    } else {
      localStorage.setItem(KEY, theme);
    }
  } catch {
    return;
  }
}
