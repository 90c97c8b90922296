/** Shows what the benchmark is doing, as one line on stderr; nothing where nobody watches. */
import type { WriteStream } from "node:tty";

const REDRAW_MILLISECONDS = 200;

/**
 * A line that is rewritten, not a spinner: all cores are being measured, and an animation would take time from one
 * of them. `step` draws only when it is called, and at most five times a second.
 */
export class Progress {
  readonly #stream: Pick<WriteStream, "write" | "isTTY">;
  #drawnAt = -Infinity;

  constructor(stream: Pick<WriteStream, "write" | "isTTY"> = process.stderr) {
    this.#stream = stream;
  }

  /** Shows that something new begins. */
  phase(text: string): void {
    this.#drawnAt = -Infinity;
    this.step(text);
  }

  /** Shows that the same thing goes on. */
  step(text: string): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - this.#drawnAt < REDRAW_MILLISECONDS) {
      return;
    }
    this.#drawnAt = now;
    this.#stream.write(`\r\x1b[K${text}`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#stream.isTTY) {
      this.#stream.write("\r\x1b[K");
    }
  }

  /** Writes a line that stays, also in a pipe: what a reader of the numbers must know. */
  notice(text: string): void {
    this.clear();
    this.#stream.write(`${text}\n`);
  }
}
