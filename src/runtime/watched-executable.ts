/**
 * An Executable that is given up when it hangs. A device that fails says so; one that hangs says nothing, and whoever waits
 * for it would wait for ever.
 */
import { ModelComposeError } from "../base/errors.ts";
import type {
  DecodeProfile,
  DecodeRequest,
  Executable,
  MemoryUse,
  Pass,
  PassResult,
  StateSnapshot,
} from "./backend.ts";
import type { DeviceInfo } from "./device-types.ts";
import type { KvCapacity } from "./kv-ledger.ts";

/** The clock of a watch, for tests. */
export interface WatchClock {
  /** Milliseconds, on a clock that does not go back. */
  now(): number;
  /** Calls back again and again until the function that it returns is called. */
  every(milliseconds: number, callback: () => void): () => void;
}

const CLOCK: WatchClock = {
  now: () => performance.now(),
  every(milliseconds, callback) {
    const timer = setInterval(callback, milliseconds);
    timer.unref();
    return () => clearInterval(timer);
  },
};

/** Passes of more rows report how far they are; a shorter one is a step of a few milliseconds to seconds. */
const REPORTED_ROWS = 16;

export class WatchedExecutable implements Executable {
  readonly lost: Promise<ModelComposeError>;
  readonly #inner: Executable;
  readonly #seconds: number;
  readonly #clock: WatchClock;
  readonly #lose: (error: ModelComposeError) => void;
  /** The calls that go on, by what ends each. */
  readonly #calls = new Set<(error: ModelComposeError) => void>();
  #lastSign = 0;
  #stopClock: (() => void) | undefined;

  /** @param seconds how long no call may show any progress before the device counts as hung */
  constructor(inner: Executable, seconds: number, clock: WatchClock = CLOCK) {
    const { promise, resolve } = Promise.withResolvers<ModelComposeError>();
    this.lost = promise;
    this.#lose = resolve;
    this.#inner = inner;
    this.#seconds = seconds;
    this.#clock = clock;
    void inner.lost.then(resolve);
  }

  get device(): DeviceInfo {
    return this.#inner.device;
  }

  get memory(): MemoryUse {
    return this.#inner.memory;
  }

  get contextLength(): number {
    return this.#inner.contextLength;
  }

  get maxRows(): number {
    return this.#inner.maxRows;
  }

  get slots(): number {
    return this.#inner.slots;
  }

  get kv(): KvCapacity {
    return this.#inner.kv;
  }

  run(pass: Pass, signal?: AbortSignal): Promise<PassResult> {
    if (pass.tokens.length <= REPORTED_ROWS) {
      return this.#watch(() => this.#inner.run(pass, signal));
    }
    const onProgress = this.#progress(pass.onProgress);
    return this.#watch(() => this.#inner.run({ ...pass, onProgress }, signal));
  }

  canChoose(choice: Pick<DecodeRequest, "sampling" | "rules">): boolean {
    return this.#inner.canChoose(choice);
  }

  decode(request: DecodeRequest, signal?: AbortSignal): Promise<DecodeProfile> {
    const onProgress = this.#progress(request.onProgress);
    const onToken = (token: number): boolean | undefined => {
      this.#sign();
      return request.onToken(token);
    };
    return this.#watch(() => this.#inner.decode({ ...request, onProgress, onToken }, signal));
  }

  fork(from: number, to: number, length: number): Promise<void> {
    return this.#watch(() => this.#inner.fork(from, to, length));
  }

  truncate(slot: number, length: number): Promise<void> {
    return this.#watch(() => this.#inner.truncate(slot, length));
  }

  snapshot(slot: number): Promise<StateSnapshot> {
    return this.#watch(() => this.#inner.snapshot(slot));
  }

  restore(snapshot: StateSnapshot, slot: number): Promise<void> {
    return this.#watch(() => this.#inner.restore(snapshot, slot));
  }

  dispose(): Promise<void> {
    return this.#inner.dispose();
  }

  /** Reports that are the same again and again show no progress. */
  #progress(report: ((fraction: number) => void) | undefined): (fraction: number) => void {
    let last: number | undefined;
    return (fraction) => {
      if (fraction !== last) {
        last = fraction;
        this.#sign();
      }
      report?.(fraction);
    };
  }

  #sign(): void {
    this.#lastSign = this.#clock.now();
  }

  /** A sign of one call is a sign for all: they take turns, or share steps. */
  async #watch<T>(call: () => Promise<T>): Promise<T> {
    const given = Promise.withResolvers<never>();
    if (this.#calls.size === 0) {
      this.#sign();
      this.#stopClock = this.#clock.every((this.#seconds * 1000) / 8, () => this.#look());
    }
    this.#calls.add(given.reject);
    try {
      return await Promise.race([call(), given.promise]);
    } finally {
      this.#sign();
      this.#calls.delete(given.reject);
      if (this.#calls.size === 0) {
        this.#stopClock?.();
      }
    }
  }

  #look(): void {
    if (this.#clock.now() - this.#lastSign < this.#seconds * 1000) {
      return;
    }
    const error = new ModelComposeError(
      "device",
      `The device ${this.device.description} has shown no progress for ${this.#seconds} s and was given up.`,
      {
        remedy: "Load the model again; where passes take that long, raise passTimeout.",
        parameter: "passTimeout",
      },
    );
    this.#lose(error);
    for (const reject of this.#calls) {
      reject(error);
    }
    // What hangs may hang here too.
    this.#inner.dispose().catch(() => undefined);
  }
}
