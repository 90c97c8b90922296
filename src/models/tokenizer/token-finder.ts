/** Finds added tokens in a text, as the tokenizers library does (`tokenizer/added_vocabulary.rs`). */
import { WHITE_SPACE, WORD } from "./code-point-set.ts";
import type { AddedToken } from "./added-vocabulary.ts";
import { before, behind, codePointAt } from "./code-points.ts";

/** What a text is made of: text between added tokens, and the tokens. `undefined` is a pause. */
export type Found = { text: string; from: number } | AddedToken | undefined;

/** Code units that are looked at between two pauses. */
const STEPS = 100_000;

interface Node {
  next: Map<number, Node>;
  token: AddedToken | undefined;
}

/** Finds the longest token at each place, from left to right. */
export class TokenFinder {
  readonly #root: Node = { next: new Map(), token: undefined };
  readonly #isText: (token: AddedToken) => boolean;

  /**
   * @param tokens tokens and how a text spells them; of the same spelling the first counts
   * @param isText tells tokens that are found and yet stay text
   */
  constructor(
    tokens: Iterable<readonly [spelling: string, token: AddedToken]>,
    isText: (token: AddedToken) => boolean = () => false,
  ) {
    this.#isText = isText;
    for (const [spelling, token] of tokens) {
      let node = this.#root;
      for (let i = 0; i < spelling.length; i++) {
        const unit = spelling.charCodeAt(i);
        let next = node.next.get(unit);
        if (next === undefined) {
          next = { next: new Map(), token: undefined };
          node.next.set(unit, next);
        }
        node = next;
      }
      if (node !== this.#root) {
        node.token ??= token;
      }
    }
  }

  /** Cuts a text at its tokens. There is no empty text. */
  *cut(text: string): Generator<Found, void> {
    const { length } = text;
    /** Where the last token ended, with the white space that it took along. */
    let done = 0;
    let pause = STEPS;
    let looked = 0;
    for (let at = 0; at < length && this.#root.next.size > 0;) {
      const token = this.#longestAt(text, at);
      looked++;
      if (looked >= pause) {
        pause = looked + STEPS;
        yield undefined;
      }
      if (token === undefined) {
        at++;
        continue;
      }
      const { found, end } = token;
      const begin = at;
      at = end;
      if (
        this.#isText(found) ||
        (found.singleWord && (isWordBefore(text, begin) || isWordBehind(text, end)))
      ) {
        continue;
      }
      const from = found.lstrip ? Math.max(done, spacesBefore(text, begin, done)) : begin;
      if (done < from) {
        yield { text: text.slice(done, from), from: done };
      }
      yield found;
      done = found.rstrip ? spacesBehind(text, end) : end;
    }
    if (done < length) {
      yield { text: text.slice(done), from: done };
    }
  }

  #longestAt(text: string, at: number): { found: AddedToken; end: number } | undefined {
    let node: Node | undefined = this.#root.next.get(text.charCodeAt(at));
    let longest: { found: AddedToken; end: number } | undefined;
    for (let end = at + 1; node !== undefined; end++) {
      if (node.token !== undefined) {
        longest = { found: node.token, end };
      }
      node = node.next.get(text.charCodeAt(end));
    }
    return longest;
  }
}

function isWordBefore(text: string, index: number): boolean {
  return index > 0 && WORD.has(codePointAt(text, before(text, index)));
}

function isWordBehind(text: string, index: number): boolean {
  return index < text.length && WORD.has(codePointAt(text, index));
}

/** Where the white space before an index begins, no earlier than `least`. */
function spacesBefore(text: string, index: number, least: number): number {
  let from = index;
  while (from > least && WHITE_SPACE.has(codePointAt(text, before(text, from)))) {
    from = before(text, from);
  }
  return from;
}

/** Where the white space behind an index ends. */
function spacesBehind(text: string, index: number): number {
  let end = index;
  while (end < text.length && WHITE_SPACE.has(codePointAt(text, end))) {
    end = behind(text, end);
  }
  return end;
}
