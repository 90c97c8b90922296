/**
 * Carries events from the parallel jobs of a run to its one reader. A reader that is slow slows the producers of
 * text down instead of filling memory.
 */
export class EventQueue<T> {
  readonly #capacity: number;
  #events: T[] = [];
  #end: { readonly error?: unknown } | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];

  constructor(capacity = 64) {
    this.#capacity = capacity;
  }

  get isFull(): boolean {
    return this.#events.length >= this.#capacity;
  }

  /** For what is rare and must not be lost. */
  post(event: T): void {
    if (this.#end !== undefined) {
      return;
    }
    this.#events.push(event);
    this.#wakeReader?.();
  }

  /** Resolves when there is room for more, or nobody reads any more. */
  async send(event: T): Promise<void> {
    this.post(event);
    while (this.isFull && this.#end === undefined) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
  }

  /** The reader gets what is there, then the end; with `error`, it is thrown. */
  close(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end;
    this.#wakeReader?.();
    this.#releaseWriters();
  }

  /** Events until the end. When the reader leaves early, writers no longer wait. */
  async *read(): AsyncGenerator<T, void> {
    try {
      for (;;) {
        const events = this.#events;
        this.#events = [];
        for (const event of events) {
          yield event;
        }
        this.#releaseWriters();
        if (this.#events.length > 0) {
          continue;
        }
        if (this.#end !== undefined) {
          break;
        }
        await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      }
    } finally {
      this.#end ??= {};
      this.#releaseWriters();
    }
    if ("error" in this.#end) {
      throw this.#end.error;
    }
  }

  #releaseWriters(): void {
    for (const wake of this.#wakeWriters.splice(0)) {
      wake();
    }
  }
}
