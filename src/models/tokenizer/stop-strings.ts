/** Finds stop strings in a stream of text, across the borders of its pieces, in linear time. */
import { ModelComposeError } from "../../base/errors.ts";

/** What a piece of text brings. */
export interface StopStep {
  /** Text that certainly comes before any stop string. */
  emit: string;
  /** The stop string that ended the text. Nothing is emitted from then on. */
  stopped?: string;
}

/** A node of the automaton: one prefix of one or more stop strings. */
interface State {
  /** Length of the prefix, in UTF-16 code units. */
  depth: number;
  next: Map<number, State>;
  /** The longest proper suffix of this prefix that is also a prefix of some stop string. */
  fail: State | undefined;
  /** The longest stop string that this prefix ends with. */
  match: string | undefined;
}

/**
 * Cuts a text at the first stop string. What is held back is exactly the longest end of the text so far that may
 * still become a stop string.
 *
 * The stop string that is complete first wins, as it is what ends a generation; of several that are complete at the
 * same character, the longest (so: the one that begins first). The result does not depend on how the text is cut
 * into pieces. Aho & Corasick, "Efficient string matching" (1975): linear in the text, whatever the stop strings.
 */
export class StopMatcher {
  readonly #root: State;
  #state: State;
  #stopped: string | undefined;
  /** Text that is held back: `#held` from `#first` on, without the `#emitted` code units that piece has lost. */
  #held: string[] = [];
  #first = 0;
  #emitted = 0;
  #heldLength = 0;

  /**
   * @param stops The stop strings; without any, all text passes.
   * @throws ModelComposeError for an empty string.
   */
  constructor(stops: readonly string[]) {
    this.#root = buildAutomaton(stops);
    this.#state = this.#root;
  }

  /** Takes the next piece of text (whole characters) and returns what may be shown by now. */
  push(text: string): StopStep {
    if (this.#stopped !== undefined) {
      return { emit: "", stopped: this.#stopped };
    }
    for (let i = 0; i < text.length; i++) {
      this.#state = this.#step(text.charCodeAt(i));
      const { match } = this.#state;
      if (match === undefined) {
        continue;
      }
      this.#hold(text.slice(0, i + 1));
      const emit = this.#release(match.length);
      this.#held = [];
      this.#stopped = match;
      return { emit, stopped: match };
    }
    this.#hold(text);
    return { emit: this.#release(this.#state.depth) };
  }

  /** The text that was held back when the text ends: it is no stop string. Empty after a stop. */
  finish(): string {
    return this.#stopped === undefined ? this.#release(0) : "";
  }

  #step(codeUnit: number): State {
    let state: State | undefined = this.#state;
    while (state !== undefined) {
      const next = state.next.get(codeUnit);
      if (next !== undefined) {
        return next;
      }
      state = state.fail;
    }
    return this.#root;
  }

  #hold(text: string): void {
    if (text === "") {
      return;
    }
    this.#held.push(text);
    this.#heldLength += text.length;
  }

  /** Takes all but the last `keep` code units out of what is held. */
  #release(keep: number): string {
    let count = this.#heldLength - keep;
    if (count <= 0) {
      return "";
    }
    this.#heldLength = keep;
    let emit = "";
    for (;;) {
      const piece = this.#held[this.#first] ?? "";
      const rest = piece.length - this.#emitted;
      if (count < rest) {
        emit += piece.slice(this.#emitted, this.#emitted + count);
        this.#emitted += count;
        break;
      }
      emit += piece.slice(this.#emitted);
      count -= rest;
      this.#emitted = 0;
      this.#first++;
      if (count === 0) {
        break;
      }
    }
    // Removing pieces one by one would move all others each time.
    if (2 * this.#first > this.#held.length) {
      this.#held.splice(0, this.#first);
      this.#first = 0;
    }
    return emit;
  }
}

function buildAutomaton(stops: readonly string[]): State {
  const newState = (depth: number): State => ({ depth, next: new Map(), fail: undefined, match: undefined });
  const root = newState(0);
  for (const stop of stops) {
    if (stop === "") {
      throw new ModelComposeError(
        "invalid-argument",
        "A stop string is empty; expected at least one character.",
        {
          remedy: "Remove it.",
        },
      );
    }
    let state = root;
    for (let i = 0; i < stop.length; i++) {
      const codeUnit = stop.charCodeAt(i);
      let next = state.next.get(codeUnit);
      if (next === undefined) {
        next = newState(state.depth + 1);
        state.next.set(codeUnit, next);
      }
      state = next;
    }
    state.match = stop;
  }
  // Breadth first: the failure state of a prefix is shorter than the prefix, so it is complete already.
  const queue = [root];
  for (const state of queue) {
    for (const [codeUnit, next] of state.next) {
      let fail = state.fail;
      while (fail !== undefined && !fail.next.has(codeUnit)) {
        fail = fail.fail;
      }
      next.fail = fail?.next.get(codeUnit) ?? root;
      next.match ??= next.fail.match;
      queue.push(next);
    }
  }
  return root;
}
