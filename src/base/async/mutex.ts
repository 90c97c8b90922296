import { AbortError, throwIfAborted } from "../errors.ts";

/** Runs tasks one after another, in the order they came. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  /** Waits for its turn, then runs the task. A signal that fires while waiting rejects at once. */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    const before = this.#tail;
    let release: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => (release = resolve));
    this.#tail = before.then(() => mine);
    try {
      await withAbort(before, signal);
      return await task();
    } finally {
      release();
    }
  }
}

/** Waits for a promise, or rejects with an AbortError as soon as the signal fires. */
export async function withAbort<T>(wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) {
    return wait;
  }
  if (signal.aborted) {
    void wait.catch(() => undefined); // nobody waits for it any more, whatever becomes of it
    throw new AbortError(signal.reason);
  }
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(new AbortError(signal.reason));
    };
  });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([wait, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
