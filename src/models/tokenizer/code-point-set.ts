/**
 * Sets of Unicode code points that are asked about every character of a text. The version of Unicode is the one of the
 * JavaScript engine: characters that are newer than the reference's tables are of their class here already.
 */

const PAGE_BITS = 8;
const PAGE_SIZE = 1 << PAGE_BITS;

/** A set of code points. Membership is computed a page of 256 at a time, when it is first asked for. */
export class CodePointSet {
  readonly #contains: (character: string) => boolean;
  readonly #pages: (Uint8Array | undefined)[] = [];

  /** @param contains whether a character, given as text of one code point, is in the set */
  constructor(contains: (character: string) => boolean) {
    this.#contains = contains;
  }

  /** The characters that a regular expression matches as a whole text. It must not be global or sticky. */
  static matching(expression: RegExp): CodePointSet {
    return new CodePointSet((character) => expression.test(character));
  }

  has(codePoint: number): boolean {
    const page = this.#pages[codePoint >>> PAGE_BITS] ?? this.#page(codePoint >>> PAGE_BITS);
    return page[codePoint & (PAGE_SIZE - 1)] === 1;
  }

  #page(index: number): Uint8Array {
    const page = new Uint8Array(PAGE_SIZE);
    for (let i = 0; i < PAGE_SIZE; i++) {
      page[i] = this.#contains(String.fromCodePoint(index * PAGE_SIZE + i)) ? 1 : 0;
    }
    this.#pages[index] = page;
    return page;
  }
}

/** White space as the Unicode standard has it, and so Rust's `char::is_whitespace`; JavaScript's `\s` differs. */
export const WHITE_SPACE = CodePointSet.matching(/^\p{White_Space}$/u);

/** `\w` of Rust's regex crate: UTS 18, annex C. */
export const WORD = CodePointSet.matching(/^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u);
