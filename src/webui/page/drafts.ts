/** What stands in the forms, so that a reload of the page loses nothing. */

const KEY = "model-compose.drafts";

type Draft = Readonly<Record<string, string>>;

export class Drafts {
  readonly #drafts: Map<string, Draft>;

  constructor() {
    this.#drafts = new Map(Object.entries(read()));
  }

  get(workflow: string): Draft | undefined {
    return this.#drafts.get(workflow);
  }

  set(workflow: string, draft: Draft | undefined): void {
    if (draft === undefined) {
      this.#drafts.delete(workflow);
    } else {
      this.#drafts.set(workflow, draft);
    }
    try {
      sessionStorage.setItem(KEY, JSON.stringify(Object.fromEntries(this.#drafts)));
    } catch {
      // Full or forbidden: the draft is still on the page.
      return;
    }
  }
}

function read(): Record<string, Draft> {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
    return typeof stored === "object" && stored !== null ? (stored as Record<string, Draft>) : {};
  } catch {
    return {};
  }
}
