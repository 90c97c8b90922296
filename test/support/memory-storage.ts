/** A storage as a browser's is, with room for so many characters in all. */
export class MemoryStorage {
  readonly #items = new Map<string, string>();
  readonly #room: number;

  constructor(room = Infinity) {
    this.#room = room;
  }

  get length(): number {
    return this.#items.size;
  }

  get size(): number {
    return [...this.#items.values()].join("").length;
  }

  key(index: number): string | null {
    return [...this.#items.keys()][index] ?? null;
  }

  getItem(key: string): string | null {
    return this.#items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    if (this.size - (this.#items.get(key)?.length ?? 0) + value.length > this.#room) {
      throw new DOMException("full", "QuotaExceededError");
    }
    this.#items.set(key, value);
  }

  removeItem(key: string): void {
    this.#items.delete(key);
  }
}
