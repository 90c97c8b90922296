/**
 * The memories of the workers in a model of a schedule (schedule-model.ts): which version of a buffer each cell holds, and
 * who touched it since the last barrier.
 */
import type { Name } from "../../src/runtime/program.ts";

export interface Cell {
  worker: number;
  bank: number;
  buffer: Name;
  row: number;
  column: number;
}

const keyOf = ({ worker, bank, buffer, row, column }: Cell): string =>
  `${buffer} (worker ${worker}, bank ${bank}, row ${row}, columns ${column})`;

/**
 * The one who touches a cell: a worker in the order of its instructions, or a task, which comes after those of its
 * runner.
 */
export interface Actor {
  name: string;
  after?: Actor;
}

interface Touch {
  actor: Actor;
  what: string;
  isWrite: boolean;
  version: string;
  /** Whether a read is sure of its version: the same actor made it, or somebody did before the last barrier. */
  isSure: boolean;
}

/** The error for something wrong with a schedule. */
export class Fault extends Error {}

export class ModelMemory {
  /** Versions in cells, as the touches so far left them. */
  readonly #cells = new Map<string, string>();
  /** Touches since the last barrier, and what the cells held at it. */
  #touches = new Map<string, Touch[]>();
  #before = new Map<string, string | undefined>();

  /** Passes a barrier. */
  meet(): void {
    this.#touches = new Map();
    this.#before = new Map();
  }

  read(cell: Cell, version: string, actor: Actor, what: string): void {
    const key = keyOf(cell);
    const found = this.holds(cell);
    if (found !== version) {
      throw new Fault(`${what} by ${actor.name} of ${key} finds version ${found} instead of ${version}`);
    }
    const touches = this.#touchesOf(key);
    const isSure =
      (this.#before.get(key) ?? "nothing") === version ||
      touches.some((touch) => touch.isWrite && touch.version === version && isBefore(touch.actor, actor));
    this.#touch(key, { actor, what, isWrite: false, version, isSure });
  }

  write(cell: Cell, version: string, actor: Actor, what: string): void {
    const key = keyOf(cell);
    this.#touch(key, { actor, what, isWrite: true, version, isSure: false });
    this.#cells.set(key, version);
  }

  #touchesOf(key: string): Touch[] {
    let touches = this.#touches.get(key);
    if (touches === undefined) {
      touches = [];
      this.#touches.set(key, touches);
      this.#before.set(key, this.#cells.get(key));
    }
    return touches;
  }

  #touch(key: string, touch: Touch): void {
    const touches = this.#touchesOf(key);
    for (const other of touches) {
      if (isRace(other, touch)) {
        throw new Fault(
          `${other.what} by ${other.actor.name} and ${touch.what} by ${touch.actor.name} of ${key} may come in any order`,
        );
      }
    }
    touches.push(touch);
  }

  holds(cell: Cell): string {
    return this.#cells.get(keyOf(cell)) ?? "nothing";
  }
}

function isBefore(one: Actor, other: Actor): boolean {
  return one === other || other.after === one;
}

function isRace(one: Touch, other: Touch): boolean {
  if (
    (!one.isWrite && !other.isWrite) ||
    isBefore(one.actor, other.actor) ||
    isBefore(other.actor, one.actor)
  ) {
    return false;
  }
  if (one.version !== other.version) {
    return true;
  }
  // A write of the same bits again does not matter, unless the reader counts on the other to have written them.
  return !(one.isWrite ? other.isWrite || other.isSure : one.isSure);
}
