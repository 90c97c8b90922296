import { KeptBytes } from "./kept-bytes.ts";
import type { Task } from "./task.ts";

/** How many of the tasks that have ended are still known, and for how long. */
export interface TaskLimits {
  /** Number of tasks that have ended and are still known. */
  readonly count: number;
  /** Seconds for which tasks are known after their end. */
  readonly seconds: number;
  /** Bytes that all tasks keep together, those that wait or go on included. */
  readonly bytes: number;
}

/** The hour is that of the Python model-compose; the other two limits bound what an hour may leave in memory. */
export const defaultTaskLimits: TaskLimits = { count: 1000, seconds: 3600, bytes: 128e6 };

/** Tasks by their id: all that have not ended, and those that ended lately. */
export class TaskStore {
  readonly #limits: TaskLimits;
  readonly #now: () => number;
  readonly #tasks = new Map<string, Task>();
  /** The tasks that have ended, in the order of their ends, and when that was. */
  readonly #ended = new Map<string, number>();
  /** The memory of all that is kept; what has ended makes room for what comes. */
  readonly kept: KeptBytes;

  /** @param now gives milliseconds, on a clock that does not go back */
  constructor(limits: TaskLimits = defaultTaskLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
    this.kept = new KeptBytes(limits.bytes, () => this.#forgetOldest());
  }

  add(task: Task): void {
    this.#tasks.set(task.id, task);
    void task.ended.then(() => {
      this.#ended.set(task.id, this.#now());
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
    for (const endedAt of this.#ended.values()) {
      if (this.#ended.size <= this.#limits.count && endedAt > oldest) {
        return;
      }
      this.#forgetOldest();
    }
  }

  /** Forgets the task that ended first. @returns false where none has ended */
  #forgetOldest(): boolean {
    const [id] = this.#ended.keys();
    if (id === undefined) {
      return false;
    }
    this.#tasks.get(id)?.forget();
    this.#ended.delete(id);
    this.#tasks.delete(id);
    return true;
  }
}
