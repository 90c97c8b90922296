/** Runs one task at a time and follows it to its end. Knows no page. */
import { ApiError, type Api } from "./api.ts";
import { followTask } from "./follow.ts";
import { RunState } from "./run-state.ts";

/** Milliseconds between two looks at the clock while a run goes on. */
const TICK = 250;

/** What a runner tells. */
export interface RunnerHooks {
  /** Called after every change, and as time goes on. */
  readonly onChange: (state: RunState) => void;
  /** Called when the run has its task. */
  readonly onTask?: (task: string) => void;
  /** Hears why a run could not be stopped. */
  readonly onProblem?: (message: string) => void;
}

/** One run at a time. */
export class Runner {
  readonly #api: Api;
  readonly #hooks: RunnerHooks;
  readonly #now: () => number;
  #isRunning = false;
  #stopWanted = false;
  #task: string | undefined;

  /** @param now gives milliseconds since 1970 */
  constructor(api: Api, hooks: RunnerHooks, now: () => number = Date.now) {
    this.#api = api;
    this.#hooks = hooks;
    this.#now = now;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /**
   * Follows a run from its start to its end, however that is.
   *
   * @param at when it began, in milliseconds since 1970
   * @param begin gives the id of its task
   * @returns the state with which it ended, and its task if it got one
   */
  async run(
    at: number,
    begin: () => Promise<string>,
  ): Promise<{ state: RunState; task: string | undefined }> {
    const state = new RunState(at);
    const show = (): void => this.#hooks.onChange(state);
    this.#isRunning = true;
    this.#stopWanted = false;
    show();
    const ticks = setInterval(show, TICK);
    let task: string | undefined;
    try {
      task = await begin();
      this.#task = task;
      this.#hooks.onTask?.(task);
      if (this.#stopWanted) {
        await this.#cancel();
      }
      await followTask(this.#api, task, state, { onChange: show, now: this.#now });
    } catch (error) {
      // Whatever it is, a run that nobody follows any more must not look as if it went on.
      const { message, field } = error instanceof ApiError ? error : { message: String(error) };
      state.fail({ message, field }, this.#now());
    } finally {
      clearInterval(ticks);
      this.#isRunning = false;
      this.#task = undefined;
    }
    return { state, task };
  }

  /** Ends the run at the next token. @returns whether there was one to end */
  stop(): boolean {
    if (!this.#isRunning || this.#stopWanted) {
      return false;
    }
    this.#stopWanted = true;
    void this.#cancel();
    return true;
  }

  async #cancel(): Promise<void> {
    if (this.#task === undefined) {
      return;
    }
    try {
      await this.#api.cancel(this.#task);
    } catch (error) {
      this.#stopWanted = false;
      this.#hooks.onProblem?.(error instanceof ApiError ? error.message : String(error));
    }
  }
}
