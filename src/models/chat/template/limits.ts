/**
 * Bounds on what a run of a template may take. A template comes with a model, from whoever published it, and nothing else
 * can interrupt it: every operation draws from one budget of steps, so that a run ends on any machine after the same work.
 * Long conversations take a few thousand steps; the whole budget a second or two.
 */

const MOST_STEPS = 5_000_000;
/** Most UTF-16 code units of a text. */
const LONGEST_TEXT = 2 ** 26;
/** Most items of a list. */
const LONGEST_LIST = 2 ** 20;
/** How many code units of a text are looked at or written in a step. */
const UNITS_IN_A_STEP = 16;
/** What an item of a list costs that is made: it takes memory, too. */
const STEPS_OF_AN_ITEM = 4;

/** What is left of the budget of the run that goes on; runs do not overlap, for nothing waits in them. */
let left = Infinity;

/** Does the work of one run. @throws what `spend` throws when its budget is used up */
export function withBudget<T>(work: () => T): T {
  const before = left;
  left = MOST_STEPS;
  try {
    return work();
  } finally {
    left = before;
  }
}

/** Draws steps from the budget. @throws Error when there are no more */
export function spend(steps = 1): void {
  left -= steps;
  if (left < 0) {
    throw new Error(`it is not done after ${MOST_STEPS / 1e6} million steps`);
  }
}

/** Draws what looking at, or writing, a text of a length takes. @throws Error for one that is too long */
export function spendText(length: number): void {
  if (length > LONGEST_TEXT) {
    throw new Error(`it makes a text of more than ${LONGEST_TEXT} characters`);
  }
  spend(1 + length / UNITS_IN_A_STEP);
}

/** Draws what making a list of a length takes. @throws Error for one that is too long */
export function spendItems(count: number): void {
  if (count > LONGEST_LIST) {
    throw new Error(`it makes a list of more than ${LONGEST_LIST} items`);
  }
  spend(1 + count * STEPS_OF_AN_ITEM);
}

/** What a block prints. */
export class Output {
  readonly #parts: string[] = [];
  #length = 0;

  get text(): string {
    return this.#parts.join("");
  }

  /** Adds a text. @throws Error when there is too much */
  write(text: string): void {
    this.#length += text.length;
    if (this.#length > LONGEST_TEXT) {
      spendText(this.#length);
    }
    spend();
    this.#parts.push(text);
  }
}
