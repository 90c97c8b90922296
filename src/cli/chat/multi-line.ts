/** Puts messages of several lines together. */

const QUOTES = '"""';

/**
 * Collects the lines of one message. It goes on behind a line that ends with a backslash, between two `"""`, and while
 * lines are pasted.
 */
export class MultiLine {
  #lines: string[] = [];
  #isQuoted = false;
  /** Whether the next line belongs to the last one, which ended with a backslash or within a paste. */
  #isOpen = false;

  /** Whether a message has begun that is not whole yet. */
  get hasBegun(): boolean {
    return this.#isQuoted || this.#isOpen;
  }

  /**
   * Takes a line.
   *
   * @param isPasted whether more is being pasted behind it
   * @returns the whole message, or undefined while it goes on
   */
  push(line: string, isPasted = false): string | undefined {
    const hadBegun = this.hasBegun;
    this.#isOpen = false;
    if (this.#isQuoted) {
      if (!line.trimEnd().endsWith(QUOTES)) {
        this.#lines.push(line);
        return undefined;
      }
      this.#isQuoted = false;
      return this.#take(line.trimEnd().slice(0, -QUOTES.length));
    }
    if (!hadBegun && line.trimStart().startsWith(QUOTES)) {
      const first = line.trimStart().slice(QUOTES.length);
      if (first.trimEnd().endsWith(QUOTES)) {
        return first.trimEnd().slice(0, -QUOTES.length);
      }
      this.#isQuoted = true;
      this.#lines = first === "" ? [] : [first];
      return undefined;
    }
    if (isPasted || line.endsWith("\\")) {
      this.#lines.push(isPasted ? line : line.slice(0, -1));
      this.#isOpen = true;
      return undefined;
    }
    return this.#take(line);
  }

  /** Gives up what has begun. */
  clear(): void {
    this.#lines = [];
    this.#isQuoted = false;
    this.#isOpen = false;
  }

  #take(last: string): string {
    const lines = [...this.#lines, last];
    this.#lines = [];
    return lines.join("\n");
  }
}
