/** Keeps count of how long the sequences in an executable's slots are; see `Sequences` in backend.ts. */
import { ModelComposeError } from "../base/errors.ts";
import type { Pass } from "./backend.ts";
import { ENCODE } from "./program.ts";

/** The positions of a pass in one slot. */
interface Span {
  first: number;
  end: number;
}

export class SlotLengths {
  readonly #lengths: number[];

  constructor(slots: number) {
    this.#lengths = new Array<number>(slots).fill(0);
  }

  of(slot: number): number {
    return this.#lengths[slot] ?? 0;
  }

  set(slot: number, length: number): void {
    this.#lengths[slot] = length;
  }

  /**
   * A pass begins: until it has ended, what its slots hold from its first position on is undefined.
   *
   * @returns a function to be called when the pass has ended well
   */
  begin({ entry, slots, positions }: Pick<Pass, "entry" | "slots" | "positions">): () => void {
    if (entry === ENCODE) {
      return () => undefined;
    }
    const spans = new Map<number, Span>();
    slots.forEach((slot, r) => {
      const { first, end } = spans.get(slot) ?? { first: Infinity, end: 0 };
      spans.set(slot, { first: Math.min(first, positions[r]), end: Math.max(end, positions[r] + 1) });
    });
    for (const [slot, { first }] of spans) {
      this.set(slot, Math.min(this.of(slot), first));
    }
    return () => {
      for (const [slot, { end }] of spans) {
        this.set(slot, end);
      }
    };
  }

  /**
   * Checks that a slot's sequence has `length` positions.
   *
   * @param what the call that wants them, for the message
   * @throws ModelComposeError "invalid-argument" for more positions than the slot's sequence has
   */
  requireLength(what: string, slot: number, length: number): void {
    const has = this.of(slot);
    if (Number.isInteger(length) && length >= 0 && length <= has) {
      return;
    }
    throw new ModelComposeError(
      "invalid-argument",
      `A ${what} to ${length} positions was refused: the sequence in slot ${slot} has ${has}; expected 0 to ${has}.`,
    );
  }
}
