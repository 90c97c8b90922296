/**
 * The sequences in an executable's slots: what `Sequences` of backend.ts asks, the same on every device, over the copies
 * that a device can make of its cache.
 */
import { ModelComposeError } from "../base/errors.ts";
import type { DecodeRequest, Pass, Sequences, StateSnapshot } from "./backend.ts";
import { checkSlot } from "./check-pass.ts";
import { KvLedger, type KvCapacity } from "./kv-ledger.ts";
import { ENCODE } from "./program.ts";

/** What a device does with its cache; T is what it keeps for a snapshot. All but `release` are called in turn. */
export interface CacheCopies<T> {
  /** Runs a task when all calls before it have ended. */
  inTurn<R>(task: () => Promise<R>): Promise<R>;
  /** Copies the first `length` positions, at least one, of a slot to another. */
  copy(from: number, to: number, length: number): Promise<void>;
  /** Gives back what a slot has of the cache beyond `length` positions, where that can be had by another. */
  truncate(slot: number, length: number): Promise<void>;
  /** Keeps the first `length` positions of a slot. @throws ModelComposeError "out-of-memory" */
  save(slot: number, length: number): Promise<T>;
  restore(kept: T, slot: number): Promise<void>;
  /** Gives up what was kept; called once. */
  release(kept: T): Promise<void>;
}

/** The positions of a pass in one slot. */
interface Span {
  first: number;
  end: number;
}

export class SlotSequences<T> implements Sequences {
  /** Positions that the sequence of each slot has. */
  readonly #lengths: number[];
  readonly #ledger: KvLedger;
  readonly #copies: CacheCopies<T>;
  readonly #kept = new Map<StateSnapshot, T>();

  constructor(slots: number, capacity: KvCapacity, copies: CacheCopies<T>) {
    this.#lengths = new Array<number>(slots).fill(0);
    this.#ledger = new KvLedger(slots, capacity);
    this.#copies = copies;
  }

  /**
   * A pass begins: until it has ended, what its slots hold from its first position on is undefined.
   *
   * @returns a function to be called when the pass has ended well
   * @throws ModelComposeError "out-of-memory" where the cache has no room for it
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
    this.#ledger.promise(new Map([...spans].map(([slot, { end }]) => [slot, end])));
    for (const [slot, { first }] of spans) {
      this.#lengths[slot] = Math.min(this.#lengths[slot], first);
    }
    return () => {
      for (const [slot, { end }] of spans) {
        this.#lengths[slot] = end;
      }
    };
  }

  /**
   * A decode begins, as a pass does.
   *
   * @returns a function to be called when it has ended well, with the number of tokens that were handed over; no pass has
   *   read the last of them
   * @throws ModelComposeError "out-of-memory" where the cache has no room for all tokens that it may choose
   */
  beginDecode({
    slot,
    position,
    tokens,
    count,
  }: Pick<DecodeRequest, "slot" | "position" | "tokens" | "count">): (chosen: number) => void {
    this.#ledger.promise(new Map([[slot, position + tokens.length + count - 1]]));
    this.#lengths[slot] = Math.min(this.#lengths[slot], position);
    return (chosen) => {
      const length = position + tokens.length + Math.max(0, chosen - 1);
      this.#lengths[slot] = length;
      this.#ledger.promise(new Map([[slot, length]]));
    };
  }

  async fork(from: number, to: number, length: number): Promise<void> {
    this.#checkSlots(from, to);
    await this.#copies.inTurn(async () => {
      this.#requireLength("fork", from, length);
      this.#ledger.promise(new Map([[to, length]]));
      if (from === to || length === 0) {
        await this.#copies.truncate(to, length);
      } else {
        await this.#copies.copy(from, to, length);
      }
      this.#lengths[to] = length;
    });
  }

  /** Shortens the sequence of a slot; what lies behind its end is overwritten by whoever comes there. */
  async truncate(slot: number, length: number): Promise<void> {
    this.#checkSlots(slot);
    await this.#copies.inTurn(async () => {
      this.#requireLength("truncation", slot, length);
      await this.#copies.truncate(slot, length);
      this.#ledger.promise(new Map([[slot, length]]));
      this.#lengths[slot] = length;
    });
  }

  async snapshot(slot: number): Promise<StateSnapshot> {
    this.#checkSlots(slot);
    return this.#copies.inTurn(async () => {
      const length = this.#lengths[slot];
      const kept = await this.#copies.save(slot, length);
      const snapshot: StateSnapshot = { length, release: () => this.#release(snapshot) };
      this.#kept.set(snapshot, kept);
      return snapshot;
    });
  }

  async restore(snapshot: StateSnapshot, slot: number): Promise<void> {
    this.#checkSlots(slot);
    await this.#copies.inTurn(async () => {
      const kept = this.#kept.get(snapshot);
      if (kept === undefined) {
        throw new ModelComposeError(
          "invalid-argument",
          "The snapshot was released, or belongs to another model; expected one that `snapshot` of this model gave.",
        );
      }
      this.#ledger.promise(new Map([[slot, snapshot.length]]));
      await this.#copies.restore(kept, slot);
      this.#lengths[slot] = snapshot.length;
    });
  }

  async #release(snapshot: StateSnapshot): Promise<void> {
    const kept = this.#kept.get(snapshot);
    this.#kept.delete(snapshot);
    if (kept !== undefined) {
      await this.#copies.release(kept);
    }
  }

  #checkSlots(...slots: number[]): void {
    for (const slot of slots) {
      checkSlot(slot, this.#lengths.length);
    }
  }

  #requireLength(what: string, slot: number, length: number): void {
    const has = this.#lengths[slot];
    if (Number.isInteger(length) && length >= 0 && length <= has) {
      return;
    }
    throw new ModelComposeError(
      "invalid-argument",
      `A ${what} to ${length} positions was refused: the sequence in slot ${slot} has ${has}; expected 0 to ${has}.`,
    );
  }
}
