/** One answer while it is written: the run behind it, and what the page shows of it. */
import type { Api } from "../client/api.ts";
import { Runner } from "../client/runner.ts";
import type { RunState } from "../client/run-state.ts";
import { announce } from "./dom.ts";
import { LiveAnswer } from "./message-view.ts";

export class Answering {
  readonly live = new LiveAnswer();
  readonly #runner: Runner;
  readonly #onShow: (change: () => void) => void;
  #frame: number | undefined;

  /**
   * @param onTask hears the id of the task
   * @param onShow makes a change of what is shown, so that who reads the end goes on to do so
   */
  constructor(api: Api, onTask: (task: string) => void, onShow: (change: () => void) => void) {
    this.#onShow = onShow;
    this.#runner = new Runner(api, {
      onChange: (state) => this.#update(state),
      onTask,
      onProblem: announce,
    });
  }

  /** Follows a run to its end. @param at when it began, in milliseconds since 1970 */
  async run(at: number, begin: () => Promise<string>): Promise<RunState> {
    const { state } = await this.#runner.run(at, begin);
    if (this.#frame !== undefined) {
      cancelAnimationFrame(this.#frame);
    }
    return state;
  }

  /** @returns whether there was something to stop */
  stop(): boolean {
    return this.#runner.stop();
  }

  /** Brings the page up to date, at most once a frame. */
  #update(state: RunState): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      const { progress } = state;
      const part =
        progress === undefined || progress.total === 0 ? undefined : progress.done / progress.total;
      this.#onShow(() => this.live.show(state.texts.at(-1), wordsOf(state), part));
    });
  }
}

/** What goes on: "Running · 3.2 s · 120 tokens · 35.1 tokens/s". */
function wordsOf(state: RunState): string {
  const now = Date.now();
  const rate = state.tokensPerSecond(now);
  const words = [
    state.activity(),
    `${state.seconds(now).toFixed(1)} s`,
    state.tokens === undefined ? undefined : `${state.tokens} ${state.tokens === 1 ? "token" : "tokens"}`,
    rate === undefined ? undefined : `${rate.toFixed(1)} tokens/s`,
  ];
  return words.filter((word) => word !== undefined).join(" · ");
}
