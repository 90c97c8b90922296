/**
 * Gives generations slots of an executable, first come, first served, with the memory that they may come to. What a sequence
 * that has ended holds is kept as long as nobody needs its place: one that begins alike goes on from there.
 */
import { AbortError, throwIfAborted } from "../../base/errors.ts";
import type { Executable } from "../backend.ts";
import { unitsOf, type KvCapacity } from "../kv-ledger.ts";

/** A beginning that is worth less than this many tokens is computed anew rather than copied. */
const LEAST_COPY = 16;
/** A sequence whose end of more tokens would be lost is copied rather than gone on with. */
const MOST_LOSS = 64;

/** What a generation needs. */
export interface SlotRequest {
  /** Token ids of which a beginning may be taken from another sequence; absent: none is. */
  ids?: Int32Array;
  /** Slots, which are given all at once. */
  count: number;
  /** Positions that the sequence of each slot may come to. */
  positions: number;
}

/** Slots of one generation, until they are released. */
export interface Holding {
  readonly slots: readonly number[];
  /** Tokens, fewer than the request's, that the first slot has already. */
  readonly cached: number;
  /** Tells that the first slot has these tokens now, so that others may copy them. */
  holds(tokens: ArrayLike<number>): void;
  /** Gives the slots back. What the first one was last said to hold is kept. */
  release(): void;
}

interface Slot {
  /** The tokens whose keys and values it has, as far as that is known. */
  tokens: Int32Array;
  /** Units promised while it is held. */
  promised: number;
  isHeld: boolean;
  /** When it was last released; counts up. */
  released: number;
}

interface Waiting {
  request: SlotRequest;
  give: () => void;
}

const NOTHING = new Int32Array(0);

export class SequenceSlots {
  readonly #executable: Pick<Executable, "fork" | "truncate">;
  readonly #kv: KvCapacity;
  readonly #slots: readonly Slot[];
  readonly #waiting: Waiting[] = [];
  #releases = 0;

  constructor(executable: Pick<Executable, "fork" | "truncate" | "slots" | "kv">) {
    this.#executable = executable;
    this.#kv = executable.kv;
    this.#slots = Array.from({ length: executable.slots }, () => ({
      tokens: NOTHING,
      promised: 0,
      isHeld: false,
      released: 0,
    }));
  }

  /** How many wait for slots. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** How many slots are held. */
  get held(): number {
    return this.#slots.filter(({ isHeld }) => isHeld).length;
  }

  /**
   * Waits for slots.
   *
   * @throws AbortError; what the executable throws when it makes place
   */
  async take(request: SlotRequest, signal?: AbortSignal): Promise<Holding> {
    throwIfAborted(signal);
    return this.#waiting.length > 0 || !this.#fits(request)
      ? this.#turn(request, signal)
      : this.#give(request);
  }

  #turn(request: SlotRequest, signal: AbortSignal | undefined): Promise<Holding> {
    return new Promise<Holding>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(new AbortError(signal?.reason));
        this.#next(); // those behind may fit
      };
      const entry: Waiting = {
        request,
        give: () => {
          signal?.removeEventListener("abort", leave);
          resolve(this.#give(request));
        },
      };
      this.#waiting.push(entry);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  /** Whether a request can be given now what it needs, when all that is only kept goes. */
  #fits({ count, positions }: SlotRequest): boolean {
    const held = this.#slots.filter(({ isHeld }) => isHeld);
    const promised = held.reduce((sum, slot) => sum + slot.promised, 0);
    const isRoom = promised + count * unitsOf(this.#kv, positions) <= this.#kv.units;
    return this.#slots.length - held.length >= count && isRoom;
  }

  /** Marks slots as held at once, then makes them ready. */
  #give({ ids, count, positions }: SlotRequest): Promise<Holding> {
    const source = ids === undefined ? undefined : this.#likest(ids);
    const [first, ...others] = this.#choose(count, source);
    const promised = unitsOf(this.#kv, positions);
    const cached = source?.length ?? 0;
    const isCopy = source !== undefined && source.slot !== first;
    const lost = [...this.#makeRoom(count * promised, [first, ...others], source?.slot)];
    for (const slot of [first, ...others]) {
      this.#slots[slot].isHeld = true;
      this.#slots[slot].promised = promised;
      this.#slots[slot].tokens = NOTHING;
    }
    if (cached > 0 && ids !== undefined) {
      this.#slots[first].tokens = ids.slice(0, cached);
    }
    const holding = this.#holding([first, ...others], cached);
    const ready = async (): Promise<Holding> => {
      try {
        // The executable carries these out in this order, before anything that is called later.
        await Promise.all([
          ...lost.map((slot) => this.#executable.truncate(slot, 0)),
          ...others.map((slot) => this.#executable.truncate(slot, 0)),
          isCopy
            ? this.#executable.fork(source.slot, first, cached)
            : this.#executable.truncate(first, cached),
        ]);
        return holding;
      } catch (error) {
        this.#slots[first].tokens = NOTHING;
        holding.release();
        throw error;
      }
    };
    return ready();
  }

  /** The slot that has the longest beginning of some tokens, and how much of it can be used: the last one is computed anew. */
  #likest(ids: Int32Array): { slot: number; length: number } | undefined {
    let best: { slot: number; length: number } | undefined;
    for (const [slot, { tokens }] of this.#slots.entries()) {
      const length = Math.min(commonLength(tokens, ids), ids.length - 1);
      if (length > (best?.length ?? LEAST_COPY - 1)) {
        best = { slot, length };
      }
    }
    return best;
  }

  /** Free slots: the one to go on with, or those that were released first. */
  #choose(count: number, source: { slot: number; length: number } | undefined): number[] {
    const oldest = [...this.#slots.entries()]
      .filter(([, { isHeld }]) => !isHeld)
      .sort(([, a], [, b]) => a.released - b.released)
      .map(([slot]) => slot);
    if (source === undefined || this.#slots[source.slot].isHeld) {
      return oldest.slice(0, count);
    }
    const others = oldest.filter((slot) => slot !== source.slot);
    const loss = this.#slots[source.slot].tokens.length - source.length;
    const order = loss > MOST_LOSS ? [...others, source.slot] : [source.slot, ...others];
    return order.slice(0, count);
  }

  /**
   * Slots whose sequences must go so that so many units are free beside those of `given`, the first released first, `spared` at
   * the end.
   */
  *#makeRoom(needed: number, given: readonly number[], spared: number | undefined): Generator<number> {
    const kept = [...this.#slots.entries()]
      .filter(([slot, { isHeld, tokens }]) => !isHeld && !given.includes(slot) && tokens.length > 0)
      .sort(([i, a], [j, b]) => Number(i === spared) - Number(j === spared) || a.released - b.released);
    let taken = this.#slots.reduce((sum, { isHeld, promised }) => sum + (isHeld ? promised : 0), needed);
    taken += kept.reduce((sum, [, { tokens }]) => sum + unitsOf(this.#kv, tokens.length), 0);
    for (const [slot, entry] of kept) {
      if (taken <= this.#kv.units) {
        return;
      }
      taken -= unitsOf(this.#kv, entry.tokens.length);
      entry.tokens = NOTHING;
      yield slot;
    }
  }

  #holding(slots: readonly number[], cached: number): Holding {
    const [first, ...others] = slots.map((slot) => this.#slots[slot]);
    let isReleased = false;
    return {
      slots,
      cached,
      holds: (tokens) => {
        first.tokens = Int32Array.from(tokens);
      },
      release: () => {
        if (isReleased) {
          return;
        }
        isReleased = true;
        for (const slot of [first, ...others]) {
          slot.isHeld = false;
          slot.promised = 0;
          slot.released = ++this.#releases;
        }
        // The cache takes back what was promised and did not come; a device that has failed has told so elsewhere.
        for (const slot of slots) {
          this.#executable.truncate(slot, this.#slots[slot].tokens.length).catch(() => undefined);
        }
        this.#next();
      },
    };
  }

  /** Gives to those who wait, in their order, as long as there is enough for the first. */
  #next(): void {
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0].request)) {
      this.#waiting.shift()?.give();
    }
  }
}

function commonLength(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  for (let i = 0; i < most; i++) {
    if (a[i] !== b[i]) {
      return i;
    }
  }
  return most;
}
