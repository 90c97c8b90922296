/**
 * What a server keeps for those who call it: bodies on their way in, inputs of runs that wait, outputs of those that have
 * ended. One budget in bytes bounds all of it, for a count of things says nothing of their size.
 */
import { ModelComposeError } from "../base/errors.ts";
import { formatBytes } from "../base/bytes.ts";

/** The error for a request that there is no memory for at the moment. */
export class NoRoomError extends ModelComposeError {
  override readonly name = "NoRoomError";
  readonly retryAfterSeconds = 5;

  constructor(limit: number) {
    super("busy", `The server keeps as much as it may (${formatBytes(limit)}) for runs that wait or go on.`, {
      remedy: "Try again later, send smaller inputs, or raise controller.max_kept_size.",
    });
  }
}

/** Bytes that somebody holds of a budget. */
export interface Holding {
  /** Holds so many bytes from now on. @throws NoRoomError where they are more than before and there is no room */
  set(bytes: number): void;
  /** As `set`, of bytes that are there already and cannot be refused: others must make room. */
  force(bytes: number): void;
  release(): void;
}

export class KeptBytes {
  readonly limit: number;
  readonly #evict: () => boolean;
  #used = 0;

  /**
   * @param limit in bytes
   * @param evict lets go of what may be let go of next; false: there is nothing
   */
  constructor(limit: number, evict: () => boolean) {
    this.limit = limit;
    this.#evict = evict;
  }

  get used(): number {
    return this.#used;
  }

  /** @throws NoRoomError */
  hold(bytes: number): Holding {
    let held = 0;
    const force = (wanted: number): void => {
      this.#used += wanted - held;
      held = wanted;
    };
    const set = (wanted: number): void => {
      if (wanted > held && !this.#makeRoom(wanted - held)) {
        throw new NoRoomError(this.limit);
      }
      force(wanted);
    };
    set(bytes);
    return {
      set,
      force: (wanted) => {
        force(wanted);
        this.#makeRoom(0);
      },
      release: () => force(0),
    };
  }

  #makeRoom(bytes: number): boolean {
    while (this.#used + bytes > this.limit) {
      if (!this.#evict()) {
        return false;
      }
    }
    return true;
  }
}

/** Bytes that V8 takes for an object besides its properties, for a property, an array's element, a string's header. */
const OBJECT_BYTES = 56;
const PROPERTY_BYTES = 32;
const ELEMENT_BYTES = 16;
const STRING_BYTES = 24;

/** About how many bytes of memory a JSON value takes; what is there several times counts each time. */
export function weigh(value: unknown): number {
  let bytes = 0;
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next === "string") {
      bytes += STRING_BYTES + 2 * next.length;
    } else if (Array.isArray(next)) {
      bytes += OBJECT_BYTES + ELEMENT_BYTES * next.length;
      for (const entry of next as unknown[]) {
        if (typeof entry === "string" || (typeof entry === "object" && entry !== null)) {
          rest.push(entry);
        }
      }
    } else if (typeof next === "object" && next !== null) {
      bytes += OBJECT_BYTES;
      for (const [key, entry] of Object.entries(next)) {
        bytes += PROPERTY_BYTES + STRING_BYTES + key.length;
        rest.push(entry);
      }
    }
  }
  return bytes;
}
