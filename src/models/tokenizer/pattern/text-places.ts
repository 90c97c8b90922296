/** Questions about places of a text, by index of UTF-16 code units. */
import { CodePointSet } from "../code-point-set.ts";
import { before, behind, codePointAt } from "../code-points.ts";
import type { Place } from "./syntax.ts";

/** `\w` at a border of a word, as Oniguruma has it: with six numerals that are no decimal digits. */
const BORDER_WORD = CodePointSet.matching(
  /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u00b2\u00b3\u00b9\u00bc\u00bd\u00be]$/u,
);

/** Whether an index of a text is such a place; lines end with a line feed, as in Oniguruma's Ruby dialect. */
export function isPlace(place: Place, text: string, index: number): boolean {
  switch (place) {
    case "text-start":
      return index === 0;
    case "text-end":
      return index === text.length;
    case "line-start":
      return index === 0 || (index < text.length && text[index - 1] === "\n");
    case "line-end":
      return index === text.length || text[index] === "\n";
    case "last-line-end":
      return index === text.length || (index === text.length - 1 && text[index] === "\n");
    case "word-border":
      return isWordBorder(text, index);
    case "no-word-border":
      return !isWordBorder(text, index);
  }
}

function isWordBorder(text: string, index: number): boolean {
  const isWordBefore = index > 0 && BORDER_WORD.has(codePointAt(text, before(text, index)));
  const isWordBehind = index < text.length && BORDER_WORD.has(codePointAt(text, index));
  return isWordBefore !== isWordBehind;
}

/** Where runs of characters of a set end, each found once however often it is asked for. */
export class RunEnds {
  readonly #text: string;
  readonly #found = new Map<CodePointSet, { start: number; end: number }>();

  constructor(text: string) {
    this.#text = text;
  }

  /** The index at which the characters of a set that begin at an index end. */
  endOf(set: CodePointSet, index: number): number {
    const known = this.#found.get(set);
    if (known !== undefined && index >= known.start && index < known.end) {
      return known.end;
    }
    let end = index;
    while (end < this.#text.length && set.has(codePointAt(this.#text, end))) {
      end = behind(this.#text, end);
    }
    this.#found.set(set, { start: index, end });
    return end;
  }
}
