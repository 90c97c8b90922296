import { AbortError, throwIfAborted } from "../errors.ts";

/** Slots that at most `count` holders have at a time, first come, first served. A count of 0 is no bound. */
export class Slots {
  readonly #count: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(count: number) {
    this.#count = count === 0 ? Infinity : count;
  }

  /** How many slots are held now. */
  get taken(): number {
    return this.#taken;
  }

  /** How many wait for a slot now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Waits for a slot. @returns a function that gives it back. @throws AbortError */
  async take(signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    if (this.#taken < this.#count) {
      this.#taken += 1;
    } else {
      await this.#turn(signal);
    }
    let isHeld = true;
    return () => {
      if (isHeld) {
        this.#giveBack();
      }
      isHeld = false;
    };
  }

  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const giveBack = await this.take(signal);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(new AbortError(signal?.reason));
      };
      const enter = (): void => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      this.#waiting.push(enter);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  /** Gives a slot back, which goes to the next in line, if there is one. */
  #giveBack(): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#taken -= 1;
    } else {
      next();
    }
  }
}
