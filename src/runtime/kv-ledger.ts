/** Counts what the sequences of an executable may take of its KV cache, before they take it. */
import { ModelComposeError } from "../base/errors.ts";

/** What a KV cache holds. */
export interface KvCapacity {
  /** Positions of a unit: a sequence takes whole ones. */
  readonly unit: number;
  /** Units that there are. */
  readonly units: number;
}

/** Units that a sequence of so many positions takes. */
export function unitsOf({ unit }: Pick<KvCapacity, "unit">, positions: number): number {
  return Math.ceil(positions / unit);
}

export class KvLedger {
  readonly #capacity: KvCapacity;
  /** Units promised to each slot. */
  readonly #promised: number[];

  constructor(slots: number, capacity: KvCapacity) {
    this.#capacity = capacity;
    this.#promised = new Array<number>(slots).fill(0);
  }

  /**
   * Promises slots that their sequences may have so many positions, in place of what they were promised before.
   *
   * @throws ModelComposeError "out-of-memory" where the cache does not hold that; nothing has changed then
   */
  promise(lengths: ReadonlyMap<number, number>): void {
    const { unit, units } = this.#capacity;
    const next = this.#promised.map((before, slot) => {
      const length = lengths.get(slot);
      return length === undefined ? before : unitsOf(this.#capacity, length);
    });
    const taken = next.reduce((sum, count) => sum + count, 0);
    if (taken > units) {
      throw new ModelComposeError(
        "out-of-memory",
        `The sequences would take ${taken * unit} positions of a KV cache of ${units * unit}.`,
        {
          remedy:
            "Truncate sequences that are not needed any more, or load the model with a larger kvMemory.",
          parameter: "kvMemory",
        },
      );
    }
    next.forEach((count, slot) => {
      this.#promised[slot] = count;
    });
  }
}
