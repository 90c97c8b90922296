/**
 * Tokens on their way from the leader to the main thread: one word for their count, then the tokens. The leader never
 * waits; the main thread waits without blocking.
 */
export class TokenChannel {
  readonly buffer: SharedArrayBuffer;
  readonly #count: Int32Array;
  readonly #tokens: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#count = new Int32Array(buffer, 0, 1);
    this.#tokens = new Int32Array(buffer, 4);
  }

  static create(capacity: number): TokenChannel {
    return new TokenChannel(new SharedArrayBuffer((1 + capacity) * 4));
  }

  get count(): number {
    return Atomics.load(this.#count, 0);
  }

  at(index: number): number {
    return this.#tokens[index];
  }

  push(token: number): void {
    const count = this.count;
    this.#tokens[count] = token;
    Atomics.store(this.#count, 0, count + 1);
    Atomics.notify(this.#count, 0);
  }

  /** Resolves when the count is no longer `seen`, or on `wake`. */
  async after(seen: number): Promise<void> {
    const result = Atomics.waitAsync(this.#count, 0, seen);
    if (result.async) {
      await result.value;
    }
  }

  /** Resolves a pending `after`. */
  wake(): void {
    Atomics.notify(this.#count, 0);
  }
}
