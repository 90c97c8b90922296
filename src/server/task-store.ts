import type { Task } from "./task.ts";

export interface TaskLimits {
  /** Tasks that have ended and are still known. */
  readonly count: number;
  /** Seconds for which they are known. */
  readonly seconds: number;
  /** Characters that their outputs have together, as JSON. */
  readonly characters: number;
}

/** Tasks are known for an hour, as in Python's model-compose; the other two bound what an hour may leave in memory. */
export const defaultTaskLimits: TaskLimits = { count: 1000, seconds: 3600, characters: 64 * 2 ** 20 };

/** Tasks by their id: all that have not ended, and those that ended lately. */
export class TaskStore {
  readonly #limits: TaskLimits;
  readonly #now: () => number;
  readonly #tasks = new Map<string, Task>();
  /** In the order in which they ended. */
  readonly #ended = new Map<string, { readonly endedAt: number; readonly characters: number }>();
  #characters = 0;

  /** `now` gives milliseconds. */
  constructor(limits: TaskLimits = defaultTaskLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  add(task: Task): void {
    this.#tasks.set(task.id, task);
    void task.ended.then(() => {
      const characters = (task.output?.size ?? 0) + task.text.length;
      this.#characters += characters;
      this.#ended.set(task.id, { endedAt: this.#now(), characters });
      this.#sweep();
    });
  }

  get(id: string): Task | undefined {
    this.#sweep();
    return this.#tasks.get(id);
  }

  /** Newest first. */
  list(): Task[] {
    this.#sweep();
    return [...this.#tasks.values()].reverse();
  }

  /** Those that have not ended. */
  active(): Task[] {
    return [...this.#tasks.values()].filter((task) => !task.hasEnded);
  }

  #sweep(): void {
    const oldest = this.#now() - this.#limits.seconds * 1000;
    for (const [id, { endedAt, characters }] of this.#ended) {
      const isWithin = this.#ended.size <= this.#limits.count && this.#characters <= this.#limits.characters;
      if (isWithin && endedAt > oldest) {
        return;
      }
      this.#ended.delete(id);
      this.#tasks.delete(id);
      this.#characters -= characters;
    }
  }
}
