import { ApiError, type Api } from "./api.ts";
import type { RunState } from "./run-state.ts";

/** Milliseconds between a lost connection and the next attempt. */
const RETRY_DELAY = 1000;
/** The most attempts in a row without an event, before the run is given up. */
const MOST_ATTEMPTS = 30;

/** How a task is followed. */
export interface FollowOptions {
  /** Called after every change of the state. */
  readonly onChange: () => void;
  /** Gives milliseconds, on the clock of the state. */
  readonly now: () => number;
  readonly retryDelay?: number;
}

/** Brings a state up to date with its task until the task has ended, through lost connections. */
export async function followTask(
  api: Api,
  task: string,
  state: RunState,
  { onChange, now, retryDelay = RETRY_DELAY }: FollowOptions,
): Promise<void> {
  for (let attempt = 1; !state.ended; attempt++) {
    try {
      state.restart();
      for await (const event of api.events(task)) {
        attempt = 0;
        state.apply(event, now());
        onChange();
        if (state.ended) {
          return;
        }
      }
    } catch (error) {
      const message = error instanceof ApiError ? error.message : "The connection to the server was lost.";
      const mayComeBack = !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
      if (!mayComeBack || attempt >= MOST_ATTEMPTS) {
        state.fail({ message }, now());
        onChange();
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, retryDelay));
  }
}
