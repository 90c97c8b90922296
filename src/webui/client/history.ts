/**
 * The runs of this browser. They leave the machine never: those that have ended are kept until somebody clears them, those
 * that go on are known to their tab alone, which follows them again when it is reloaded.
 */
import * as z from "zod/mini";
import type { AnswerFacts } from "./answer-facts.ts";
import { storedFacts } from "./conversation-file.ts";
import { parseForeign } from "./foreign-file.ts";
import { storedTokens, type KeptToken } from "./token-alternatives.ts";

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
  readonly facts?: AnswerFacts;
  readonly warnings?: readonly string[];
  /** The tokens of each text, where the run asked how likely they were. */
  readonly tokens?: readonly (readonly KeptToken[])[];
}

/** The part of `Storage` that the history needs. */
export type HistoryStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const KEY = "model-compose.runs";
const MOST_ENTRIES = 200;

const storedEntry: z.ZodMiniType<HistoryEntry> = z.object({
  id: z.string(),
  workflow: z.string(),
  at: z.number(),
  fields: z.record(z.string(), z.string()),
  status: z.enum(["running", "completed", "failed", "cancelled"]),
  output: z.optional(z.unknown()),
  partial: z.optional(z.string()),
  error: z.optional(z.string()),
  facts: z.optional(storedFacts),
  warnings: z.optional(z.array(z.string())),
  tokens: z.optional(z.array(storedTokens)),
});

const file = z.object({ version: z.literal(1), runs: z.array(storedEntry) });

/** The last runs of all workflows. */
export class History {
  readonly #kept: HistoryStorage;
  readonly #tab: HistoryStorage;
  /** Runs that the browser has no room for: they last until the page is left. */
  #unkept: HistoryEntry[] = [];

  /**
   * @param kept the storage that all tabs share and that stays
   * @param tab the storage of this tab
   */
  constructor(kept: HistoryStorage, tab: HistoryStorage) {
    this.#kept = kept;
    this.#tab = tab;
  }

  /** The runs of a workflow that have all words of a search, the newest first. */
  of(workflow: string, search = ""): HistoryEntry[] {
    return this.#all().filter((entry) => entry.workflow === workflow && matches(entry, search));
  }

  /** Adds an entry, or replaces the one with its id. */
  put(entry: HistoryEntry): void {
    const isOther = ({ id }: HistoryEntry): boolean => id !== entry.id;
    const running = read(this.#tab).filter(isOther);
    const ended = read(this.#kept).filter(isOther);
    this.#unkept = this.#unkept.filter(isOther);
    if (entry.status === "running") {
      this.#write(this.#tab, [entry, ...running]);
      return;
    }
    this.#write(this.#tab, running);
    this.#write(this.#kept, [entry, ...ended].sort(newestFirst).slice(0, MOST_ENTRIES));
  }

  clear(workflow: string): void {
    const isOther = (entry: HistoryEntry): boolean => entry.workflow !== workflow;
    this.#unkept = this.#unkept.filter(isOther);
    this.#write(this.#kept, read(this.#kept).filter(isOther));
  }

  /** The text of a file with the runs of a workflow that have ended. */
  export(workflow: string): string {
    const runs = this.of(workflow).filter(({ status }) => status !== "running");
    return `${JSON.stringify({ version: 1, runs }, null, 2)}\n`;
  }

  /**
   * Adds the runs of a file to a workflow; those that are there already stay.
   *
   * @returns how many were added
   * @throws ForeignFileError naming what is wrong, and where
   */
  import(workflow: string, text: string): number {
    const { runs } = parseForeign(text, "a history of runs", file);
    const known = new Set(this.#all().map(({ id }) => id));
    const added = runs.filter(({ id, status }) => !known.has(id) && status !== "running");
    for (const entry of added) {
      this.put({ ...entry, workflow });
    }
    return added.length;
  }

  #all(): HistoryEntry[] {
    return [...read(this.#tab), ...this.#unkept, ...read(this.#kept)].sort(newestFirst);
  }

  /**
   * Writes runs down. Browsers give a page some megabytes: the tokens of all runs but the newest make room first, then the oldest
   * runs.
   */
  #write(storage: HistoryStorage, entries: readonly HistoryEntry[]): void {
    const withoutOlder = entries.map(({ tokens, ...entry }, i) => (i === 0 ? { ...entry, tokens } : entry));
    const withoutAny = entries.map(({ tokens: _, ...entry }) => entry);
    if (entries.length > 0 && (tryToKeep(storage, entries) || tryToKeep(storage, withoutOlder))) {
      return;
    }
    let kept: readonly HistoryEntry[] = withoutAny;
    while (kept.length > 0) {
      if (tryToKeep(storage, kept)) {
        return;
      }
      const [newest] = entries;
      if (kept.length === 1 && newest !== undefined) {
        this.#unkept = [newest, ...this.#unkept];
        this.#write(storage, entries.slice(1));
        return;
      }
      kept = kept.slice(0, Math.floor(kept.length / 2));
    }
    try {
      storage.removeItem(KEY);
    } catch {
      // A browser that forbids storage keeps nothing that could be removed.
      return;
    }
  }
}

function tryToKeep(storage: HistoryStorage, entries: readonly HistoryEntry[]): boolean {
  try {
    storage.setItem(KEY, JSON.stringify(entries));
    return true;
  } catch {
    return false;
  }
}

function newestFirst(a: HistoryEntry, b: HistoryEntry): number {
  return b.at - a.at;
}

/** Whether all words of a search stand in what a run was given and gave. */
function matches({ fields, output, partial, error }: HistoryEntry, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/);
  const texts = [...Object.values(fields), JSON.stringify(output ?? ""), partial ?? "", error ?? ""];
  const all = texts.join("\n").toLowerCase();
  return words.every((word) => all.includes(word));
}

/** What is none of ours is passed over. */
function read(storage: HistoryStorage): HistoryEntry[] {
  try {
    const found: unknown = JSON.parse(storage.getItem(KEY) ?? "[]");
    const entries: readonly unknown[] = Array.isArray(found) ? found : [];
    return entries.flatMap((entry) => {
      const parsed = z.safeParse(storedEntry, entry);
      return parsed.success ? [parsed.data] : [];
    });
  } catch {
    return [];
  }
}
