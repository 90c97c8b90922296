/** Long work on the thread that serves everybody, cut into slices with everything else between them. */
import { throwIfAborted } from "../errors.ts";

/** How long a slice takes, in milliseconds; the step that ends it may take it a little further. */
const SLICE_MS = 5;

/**
 * Turns of the event loop from one slice to the next. An idle turn takes microseconds; a turn accepts one connection at a time, and an
 * answer takes several, so that a slice in each would make a client wait for the slices of all connections before its own.
 */
const TURNS = 8;

/** Work that waits for its next slice. */
const waiting: (() => void)[] = [];
let isScheduled = false;

/**
 * Runs work step by step, in slices of some milliseconds, of which the event loop does one in some turns: however much such work
 * there is, and whoever asked for it, what else is due waits for one slice. Pieces of work take turns.
 *
 * @param work each `next()` is a step, which must be short
 * @param signal ends the work between two slices
 * @param now a clock, in milliseconds
 * @throws what a step throws; AbortError
 */
export async function runInSlices<T>(
  work: Generator<undefined, T>,
  signal?: AbortSignal,
  now: () => number = () => performance.now(),
): Promise<T> {
  for (;;) {
    await nextSlice();
    throwIfAborted(signal);
    const until = now() + SLICE_MS;
    do {
      const step = work.next();
      if (step.done === true) {
        return step.value;
      }
    } while (now() < until);
  }
}

/** Runs work without a pause: for what is known to be short, and for callers that wait. */
export function runAtOnce<T>(work: Generator<undefined, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) {
      return step.value;
    }
  }
}

/** Resolves when it is this work's turn. */
function nextSlice(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    schedule();
  });
}

function schedule(): void {
  if (isScheduled || waiting.length === 0) {
    return;
  }
  isScheduled = true;
  afterTurns(TURNS, () => {
    isScheduled = false;
    waiting.shift()?.();
    schedule();
  });
}

function afterTurns(turns: number, run: () => void): void {
  setImmediate(() => {
    if (turns > 1) {
      afterTurns(turns - 1, run);
    } else {
      run();
    }
  });
}
