/** The snapshots that an executable has given, each with what the device keeps for it. */
import { ModelComposeError } from "../base/errors.ts";
import type { StateSnapshot } from "./backend.ts";

export class Snapshots<T> {
  readonly #kept = new Map<StateSnapshot, T>();
  readonly #free: (kept: T) => Promise<void>;

  /** @param free gives up what the device keeps for a snapshot; called once for each that is released */
  constructor(free: (kept: T) => Promise<void>) {
    this.#free = free;
  }

  /** @param length positions of the sequence that was kept */
  add(length: number, kept: T): StateSnapshot {
    const snapshot: StateSnapshot = { length, release: () => this.#release(snapshot) };
    this.#kept.set(snapshot, kept);
    return snapshot;
  }

  /** @throws ModelComposeError "invalid-argument" for one that was released, or that another executable gave */
  of(snapshot: StateSnapshot): T {
    const kept = this.#kept.get(snapshot);
    if (kept === undefined) {
      throw new ModelComposeError(
        "invalid-argument",
        "The snapshot was released, or belongs to another model; expected one that `snapshot` of this model gave.",
      );
    }
    return kept;
  }

  async #release(snapshot: StateSnapshot): Promise<void> {
    const kept = this.#kept.get(snapshot);
    this.#kept.delete(snapshot);
    if (kept !== undefined) {
      await this.#free(kept);
    }
  }
}
