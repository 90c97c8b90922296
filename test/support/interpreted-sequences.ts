/**
 * The state that a sequence keeps between passes, as src/runtime/backend.ts says it, in plain objects: keys and values
 * by position, recurrent states, and where the sequence can go back to.
 */
import type { StateSnapshot } from "../../src/runtime/backend.ts";
import type { Stateful } from "../../src/runtime/state.ts";

export interface Cell {
  key: Float64Array;
  value: Float64Array;
}

/** The recurrent states of a sequence at one position, by layer. */
type States = ReadonlyMap<number, Float64Array>;

interface Sequence {
  length: number;
  /** Keys and values by layer, then by position. */
  cells: Map<number, Cell[]>;
  states: States;
  /** Recurrent states by the position that a snapshot was taken at. */
  marks: Map<number, { states: States; snapshot: StateSnapshot }>;
}

export class InterpretedSequences {
  readonly #program: Stateful;
  readonly #slots = new Map<number, Sequence>();
  readonly #snapshots = new Map<StateSnapshot, Sequence>();

  constructor(program: Stateful) {
    this.#program = program;
  }

  /** The sequence that the slot holds before rows from `position` on are appended. */
  begin(slot: number, position: number): Sequence {
    const sequence = this.#of(slot);
    if (this.#isRecurrent && position > sequence.length) {
      throw new RangeError(
        `Slot ${slot} has ${sequence.length} positions; its next row cannot be at ${position}.`,
      );
    }
    this.#goBack(slot, Math.min(position, sequence.length));
    return sequence;
  }

  cellsOf(slot: number, layer: number): Cell[] {
    const { cells } = this.#of(slot);
    const found = cells.get(layer) ?? [];
    cells.set(layer, found);
    return found;
  }

  /** The recurrent state at the end of the slot's sequence; zeros where it is empty. */
  stateOf(slot: number, layer: number): Float64Array {
    const declared = this.#program.state[layer];
    const columns = declared?.kind === "recurrent" ? declared.columns : 0;
    return this.#of(slot).states.get(layer) ?? new Float64Array(columns);
  }

  setState(slot: number, layer: number, state: Float64Array): void {
    const sequence = this.#of(slot);
    sequence.states = new Map([...sequence.states, [layer, state]]);
  }

  setLength(slot: number, length: number): void {
    this.#of(slot).length = length;
  }

  fork(from: number, to: number, length: number): void {
    this.#requireLength(from, length);
    const copy = copyOf(this.#of(from));
    const before = this.#slots.get(to);
    this.#slots.set(to, copy);
    try {
      this.#goBack(to, length);
    } catch (error) {
      this.#slots.set(to, before ?? empty());
      throw error;
    }
  }

  truncate(slot: number, length: number): void {
    this.#requireLength(slot, length);
    this.#goBack(slot, length);
  }

  snapshot(slot: number): StateSnapshot {
    const sequence = this.#of(slot);
    const snapshot: StateSnapshot = {
      length: sequence.length,
      release: () => {
        this.#snapshots.delete(snapshot);
        return Promise.resolve();
      },
    };
    sequence.marks.set(sequence.length, { states: sequence.states, snapshot });
    this.#snapshots.set(snapshot, copyOf(sequence));
    return snapshot;
  }

  restore(snapshot: StateSnapshot, slot: number): void {
    const kept = this.#snapshots.get(snapshot);
    if (kept === undefined) {
      throw new RangeError("The snapshot was released.");
    }
    this.#slots.set(slot, copyOf(kept));
  }

  get #isRecurrent(): boolean {
    return this.#program.state.some(({ kind }) => kind === "recurrent");
  }

  #of(slot: number): Sequence {
    const found = this.#slots.get(slot) ?? empty();
    this.#slots.set(slot, found);
    return found;
  }

  #requireLength(slot: number, length: number): void {
    const has = this.#of(slot).length;
    if (!(length >= 0 && length <= has)) {
      throw new RangeError(`Slot ${slot} has ${has} positions; ${length} were asked for.`);
    }
  }

  #goBack(slot: number, length: number): void {
    const sequence = this.#of(slot);
    if (this.#isRecurrent && length !== sequence.length) {
      const mark = sequence.marks.get(length);
      const isKept = mark !== undefined && this.#snapshots.has(mark.snapshot);
      if (length > 0 && !isKept) {
        const kept = [...sequence.marks].filter(([, { snapshot }]) => this.#snapshots.has(snapshot));
        throw new RangeError(
          `Slot ${slot} cannot go back to position ${length}, only to ` +
            `${[0, ...kept.map(([position]) => position)].join(", ")} or stay at ${sequence.length}.`,
        );
      }
      sequence.states = length === 0 ? new Map() : (mark?.states ?? new Map());
    }
    for (const cells of sequence.cells.values()) {
      cells.length = Math.min(cells.length, length);
    }
    for (const position of [...sequence.marks.keys()].filter((marked) => marked > length)) {
      sequence.marks.delete(position);
    }
    sequence.length = length;
  }
}

function empty(): Sequence {
  return { length: 0, cells: new Map(), states: new Map(), marks: new Map() };
}

function copyOf({ length, cells, states, marks }: Sequence): Sequence {
  return {
    length,
    cells: new Map([...cells].map(([layer, list]) => [layer, [...list]])),
    states: new Map(states),
    marks: new Map(marks),
  };
}
