/** The runs of this tab of the browser. They leave the machine never and the browser when the tab is closed. */

/** One run as the history keeps it. */
export interface HistoryEntry {
  readonly id: string;
  readonly workflow: string;
  /** Time of the start, in milliseconds since 1970. */
  readonly at: number;
  /** The texts of the form's fields, by their names. */
  readonly fields: Readonly<Record<string, string>>;
  readonly status: "running" | "completed" | "failed" | "cancelled";
  readonly output?: unknown;
  /** The text so far of a run that did not complete. */
  readonly partial?: string;
  readonly error?: string;
  readonly seconds?: number;
  readonly tokens?: number;
  readonly tokensPerSecond?: number;
  readonly seeds?: readonly number[];
  readonly warnings?: readonly string[];
}

/** The part of `Storage` that the history needs. */
export type HistoryStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const KEY = "model-compose.history";
const MOST_ENTRIES = 50;

/** The last runs of all workflows, kept in a storage of the browser. */
export class History {
  readonly #storage: HistoryStorage;
  /** The runs, the newest first. */
  #entries: HistoryEntry[];

  constructor(storage: HistoryStorage) {
    this.#storage = storage;
    this.#entries = read(storage);
  }

  of(workflow: string): HistoryEntry[] {
    return this.#entries.filter((entry) => entry.workflow === workflow);
  }

  /** Adds an entry, or replaces the one with its id. */
  put(entry: HistoryEntry): void {
    const at = this.#entries.findIndex(({ id }) => id === entry.id);
    if (at === -1) {
      this.#entries.unshift(entry);
    } else {
      this.#entries[at] = entry;
    }
    this.#entries.length = Math.min(this.#entries.length, MOST_ENTRIES);
    this.#save();
  }

  clear(workflow: string): void {
    this.#entries = this.#entries.filter(
      (entry) => entry.workflow !== workflow || entry.status === "running",
    );
    this.#save();
  }

  /** Writes the runs down. Browsers give a page some megabytes: the oldest runs make room. */
  #save(): void {
    for (let kept = this.#entries; ; kept = kept.slice(0, Math.floor(kept.length / 2))) {
      try {
        this.#storage.setItem(KEY, JSON.stringify(kept));
        return;
      } catch {
        if (kept.length > 1) {
          continue;
        }
        this.#storage.removeItem(KEY);
        return;
      }
    }
  }
}

function read(storage: HistoryStorage): HistoryEntry[] {
  try {
    const entries: unknown = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(entries) ? (entries as HistoryEntry[]) : [];
  } catch {
    return [];
  }
}
