/**
 * Carries values from any number of writers to one reader, in order. A writer that waits (`send`) is as slow as the
 * reader instead of filling memory; one that cannot wait (`post`) is never slowed, and what it writes is never lost.
 */
export class Channel<T> {
  readonly #capacity: number;
  #values: T[] = [];
  #end: { readonly error?: unknown } | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];

  /** @param capacity how many values may lie in the channel before writers wait */
  constructor(capacity = 64) {
    this.#capacity = capacity;
  }

  get isFull(): boolean {
    return this.#values.length >= this.#capacity;
  }

  /** Whether a writer has closed the channel, or the reader has left. What is written from then on goes nowhere. */
  get isClosed(): boolean {
    return this.#end !== undefined;
  }

  /** Writes a value without waiting. */
  post(value: T): void {
    if (this.#end !== undefined) {
      return;
    }
    this.#values.push(value);
    this.#wakeReader?.();
  }

  /** Writes a value; resolves when there is room for more, or nobody reads any more. */
  async send(value: T): Promise<void> {
    this.post(value);
    while (this.isFull && this.#end === undefined) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
  }

  /** Ends the channel: the reader gets what is there, then the end; with `error`, it is thrown to the reader. */
  close(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end;
    this.#wakeReader?.();
    this.#releaseWriters();
  }

  /** Yields the values until the end. When the reader leaves early, the channel is closed and writers no longer wait. */
  async *read(): AsyncGenerator<T, void> {
    try {
      for (;;) {
        const values = this.#values;
        this.#values = [];
        for (const value of values) {
          yield value;
        }
        this.#releaseWriters();
        if (this.#values.length > 0) {
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
