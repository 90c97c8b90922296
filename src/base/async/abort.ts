import { AbortError } from "../errors.ts";

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
