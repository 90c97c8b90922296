import type { Task } from "./task.ts";

/** How many of the tasks that have ended are still known, and for how long. */
export interface TaskLimits {
  /** Number of tasks that have ended and are still known. */
  readonly count: number;
  /** Seconds for which tasks are known after their end. */
  readonly seconds: number;
  /** Number of characters that their outputs have together, as JSON. */
  readonly characters: number;
}

/** The hour is that of the Python model-compose; the other two limits bound what an hour may leave in memory. */
export const defaultTaskLimits: TaskLimits = { count: 1000, seconds: 3600, characters: 64 * 2 ** 20 };

/** Tasks by their id: all that have not ended, and those that ended lately. */
export class TaskStore {
  readonly #limits: TaskLimits;
  readonly #now: () => number;
  readonly #tasks = new Map<string, Task>();
  /** The tasks that have ended, in the order of their ends: when that was, and the characters of their outputs. */
  readonly #ended = new Map<string, { readonly endedAt: number; readonly characters: number }>();
  #characters = 0;

  /** @param now gives milliseconds, on a clock that does not go back */
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

  /** All tasks, the newest first. */
  list(): Task[] {
    this.#sweep();
    return [...this.#tasks.values()].reverse();
  }

  /** The tasks that have not ended. */
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
