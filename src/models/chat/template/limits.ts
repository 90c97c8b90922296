/**
 * Bounds on what a run of a template may take. A template comes with a model, from whoever published it, and nothing else
 * can interrupt it. Long conversations take a few milliseconds.
 */
import { isSequence, type Value } from "./values.ts";

const MOST_MILLISECONDS = 5000;
/** Most UTF-16 code units of a text. */
const LONGEST_TEXT = 2 ** 26;
/** Most items of a list. */
const LONGEST_LIST = 2 ** 20;

/** The limits of one run, whose time begins when this is made. */
export class RunLimits {
  readonly #startedAt = performance.now();

  /** Checks the time. @throws Error when it is up */
  checkTime(): void {
    if (performance.now() - this.#startedAt < MOST_MILLISECONDS) {
      return;
    }
    throw new Error(`it is not done after ${MOST_MILLISECONDS / 1000} seconds`);
  }

  /** Checks a value. @throws Error for a text or a list that is too long */
  checkValue(value: Value): void {
    if (value.kind === "text") {
      this.checkText(value.value.length);
    }
    if (isSequence(value) && value.items.length > LONGEST_LIST) {
      throw new Error(`it makes a list of more than ${LONGEST_LIST} items`);
    }
  }

  /** Checks the length of a text in UTF-16 code units. @throws Error when it is too long */
  checkText(length: number): void {
    if (length > LONGEST_TEXT) {
      throw new Error(`it makes a text of more than ${LONGEST_TEXT} characters`);
    }
  }
}

/** What a block prints, as long as it is not too long. */
export class Output {
  readonly #limits: RunLimits;
  #text = "";

  constructor(limits: RunLimits) {
    this.#limits = limits;
  }

  get text(): string {
    return this.#text;
  }

  /** Adds a text. @throws Error when there is too much */
  write(text: string): void {
    this.#limits.checkText(this.#text.length + text.length);
    this.#text += text;
  }
}
