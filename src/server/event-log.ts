import type { RunEvent } from "../compose/run/events.ts";

type Progress = RunEvent & { readonly type: "loading" | "prefill" };

/**
 * The events of a run, for any number of readers at their own pace. The run never waits for a reader, and a slow reader
 * costs no memory: it holds a position in what the run itself keeps, and what it has not taken yet comes to it as one
 * piece. Of progress, only the latest is kept.
 *
 * This is no Channel: one has a single reader, which takes each value away and for which writers wait. A log is read
 * from its beginning by whoever comes, also late.
 */
export class EventLog {
  readonly #events: RunEvent[] = [];
  #progress: Progress | undefined;
  #hasEnded = false;
  #change = Promise.withResolvers<void>();

  append(event: RunEvent): void {
    if (event.type === "loading" || event.type === "prefill") {
      this.#progress = event;
    } else {
      // Whatever event comes next, what the progress told of is over.
      this.#progress = undefined;
      this.#events.push(withoutOutput(event));
    }
    this.wake();
  }

  /** Ends the log: readers get what is there, then the end. */
  end(): void {
    this.#hasEnded = true;
    this.wake();
  }

  /** Makes readers look at what is not an event: they get what there is, perhaps nothing. */
  wake(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers<void>();
    resolve();
  }

  /**
   * Gives everything from the first event on, in batches of what is new. Ends without an error when the signal fires.
   */
  async *read(signal?: AbortSignal): AsyncGenerator<readonly RunEvent[], void> {
    let position = 0;
    let shown: Progress | undefined;
    const leave = (): void => this.wake();
    signal?.addEventListener("abort", leave, { once: true });
    try {
      while (signal?.aborted !== true) {
        const { promise } = this.#change;
        const hasEnded = this.#hasEnded;
        const batch = mergePieces(this.#events.slice(position));
        position = this.#events.length;
        if (this.#progress !== undefined && this.#progress !== shown) {
          batch.push(this.#progress);
        }
        shown = this.#progress;
        yield batch;
        if (hasEnded) {
          return;
        }
        await promise;
      }
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }
}

/** The event as it is kept: without the outputs of jobs, which the run keeps itself. */
function withoutOutput(event: RunEvent): RunEvent {
  if (event.type !== "job-ended" || event.outcome !== "completed") {
    return event;
  }
  return { ...event, output: undefined };
}

/** The events with neighbouring pieces of the same text made one, and so those of an output that is a text. */
function mergePieces(events: readonly RunEvent[]): RunEvent[] {
  const merged: RunEvent[] = [];
  const places = new Map<number | "output", number>();
  for (const event of events) {
    const key = event.type === "text" ? event.generation : event.type === "output" ? "output" : undefined;
    const place = key === undefined ? undefined : places.get(key);
    const before = place === undefined ? undefined : merged[place];
    const joined = before === undefined ? undefined : join(before, event);
    if (joined !== undefined && place !== undefined) {
      merged[place] = joined;
    } else {
      if (key !== undefined) {
        places.set(key, merged.length);
      }
      merged.push(event);
    }
  }
  return merged;
}

function join(before: RunEvent, event: RunEvent): RunEvent | undefined {
  if (before.type === "text" && event.type === "text") {
    // Reasoning is no part of the answer behind it, and a call is whole.
    if (before.kind !== event.kind || before.kind === "tool-call") {
      return undefined;
    }
    const logprobs =
      before.logprobs === undefined && event.logprobs === undefined
        ? undefined
        : { logprobs: [...(before.logprobs ?? []), ...(event.logprobs ?? [])] };
    const text = before.text + event.text;
    return { ...before, text, tokens: before.tokens + event.tokens, ...logprobs };
  }
  if (before.type !== "output" || event.type !== "output") {
    return undefined;
  }
  if (typeof before.value !== "string" || typeof event.value !== "string") {
    return undefined;
  }
  return { ...before, value: before.value + event.value };
}
