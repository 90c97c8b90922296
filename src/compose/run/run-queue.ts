import { ModelComposeError } from "../../base/errors.ts";
import type { ControllerDefinition } from "../definition/definition.ts";
import { Slots } from "../../base/async/slots.ts";

/** The error for a run that comes when as many are waiting as the server takes. */
export class QueueFullError extends ModelComposeError {
  override readonly name = "QueueFullError";
  /** Seconds after which one more run probably fits, from how long runs have taken; an integer >= 1. */
  readonly retryAfterSeconds: number;

  constructor(waiting: number, retryAfterSeconds: number) {
    super("busy", `${waiting} runs are waiting already, and no more are taken.`, {
      remedy: `Try again in ${retryAfterSeconds} s, or raise controller.max_queue_count.`,
    });
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** How much one run weighs in the average of run times. */
const WEIGHT = 0.2;

/** Runs of a server: at most `max_concurrent_count` at a time, at most `max_queue_count` waiting, in order. */
export class RunQueue {
  readonly #slots: Slots;
  readonly #limits: Pick<ControllerDefinition, "maxConcurrentCount" | "maxQueueCount">;
  readonly #now: () => number;
  #averageSeconds: number | undefined;

  /**
   * @param limits numbers of runs
   * @param now gives milliseconds, on a clock that does not go back
   */
  constructor(
    limits: Pick<ControllerDefinition, "maxConcurrentCount" | "maxQueueCount">,
    now: () => number = () => performance.now(),
  ) {
    this.#slots = new Slots(limits.maxConcurrentCount);
    this.#limits = limits;
    this.#now = now;
  }

  get running(): number {
    return this.#slots.taken;
  }

  get waiting(): number {
    return this.#slots.waiting;
  }

  /** Checks that one more run would be taken now. @throws QueueFullError */
  requireRoom(): void {
    const { maxConcurrentCount: most, maxQueueCount } = this.#limits;
    if (most > 0 && this.running >= most && this.waiting >= maxQueueCount) {
      throw new QueueFullError(this.waiting, this.#retryAfter(most));
    }
  }

  /** Does the work when its turn comes. @throws QueueFullError at once; AbortError */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.requireRoom();
    return this.#slots.run(async () => {
      const start = this.#now();
      try {
        return await work();
      } finally {
        this.#learn((this.#now() - start) / 1000);
      }
    }, signal);
  }

  #learn(seconds: number): void {
    this.#averageSeconds = WEIGHT * seconds + (1 - WEIGHT) * (this.#averageSeconds ?? seconds);
  }

  /** Seconds until one of the running is likely to end, and with it the first of the waiting moves up. */
  #retryAfter(most: number): number {
    return Math.max(1, Math.ceil((this.#averageSeconds ?? 1) / most));
  }
}
