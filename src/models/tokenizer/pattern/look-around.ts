/** What a pattern looks at without taking it, and what it takes once and for all (atomic groups). */
import type { Program } from "./program.ts";
import { before, behind, codePointAt } from "../code-points.ts";
import { isPlace, RunEnds } from "./text-places.ts";

const FAILED = 1;
const MATCHES = 2;

/**
 * Runs the programs inside of a pattern on one text. Whether a program matches from an instruction and a place on does not
 * depend on how it came there, so for what is looked ahead at both answers are remembered: all questions together take time
 * in proportion to the text. What looks back, and atomic groups, have a bounded length, and remember within one question.
 */
export class LookAround {
  readonly runs: RunEnds;
  readonly #text: string;
  readonly #answers = new Map<Program, Uint8Array>();

  constructor(text: string) {
    this.#text = text;
    this.runs = new RunEnds(text);
  }

  /** Whether a program matches at an index. */
  isAhead(program: Program, index: number): boolean {
    let answers = this.#answers.get(program);
    if (answers === undefined) {
      answers = new Uint8Array(program.memos * (this.#text.length + 1));
      this.#answers.set(program, answers);
    }
    const known = answers;
    /** Places of `answers` on the way that is being tried. */
    const way: number[] = [];
    const end = this.#run(program, index, {
      enter: (memo, at) => {
        const place = memo * (this.#text.length + 1) + at;
        const answer = known[place];
        if (answer === 0) {
          known[place] = FAILED; // unless it turns out to be on the way to a match
          way.push(place);
        }
        return answer === MATCHES ? "match" : answer === FAILED ? "fail" : "go";
      },
      mark: () => way.length,
      backTo: (length) => {
        way.length = length;
      },
      accepts: () => true,
    });
    if (end >= 0) {
      for (const place of way) {
        known[place] = MATCHES;
      }
    }
    return end >= 0;
  }

  /** Whether a program matches a text of one of these numbers of code points that ends at an index. */
  isBehind(program: Program, index: number, lengths: readonly number[]): boolean {
    return lengths.some((length) => {
      let from = index;
      for (let i = 0; i < length; i++) {
        if (from === 0) {
          return false;
        }
        from = before(this.#text, from);
      }
      return this.#once(program, from, (end) => end === index) >= 0;
    });
  }

  /** The index at which the first way through a program ends; -1 without one. */
  endOf(program: Program, index: number): number {
    return this.#once(program, index, () => true);
  }

  #once(program: Program, index: number, accepts: (end: number) => boolean): number {
    const failed = new Set<number>();
    return this.#run(program, index, {
      enter: (memo, at) => {
        const place = at * program.memos + memo;
        if (failed.has(place)) {
          return "fail";
        }
        failed.add(place);
        return "go";
      },
      mark: () => 0,
      backTo: () => undefined,
      accepts,
    });
  }

  #run({ instructions }: Program, index: number, ways: Ways): number {
    const stack: number[] = [];
    let pc = 0;
    let at = index;
    for (;;) {
      const instruction = instructions[pc];
      let fails = false;
      switch (instruction?.op) {
        case "set":
          fails = at >= this.#text.length || !instruction.set.has(codePointAt(this.#text, at));
          at = fails ? at : behind(this.#text, at);
          pc++;
          break;
        case "split": {
          const answer = ways.enter(instruction.memo, at);
          if (answer === "match") {
            return at;
          }
          fails = answer === "fail";
          if (!fails) {
            stack.push(instruction.second, at, ways.mark());
            pc = instruction.first;
          }
          break;
        }
        case "jump":
          pc = instruction.to;
          break;
        case "run":
          at = this.runs.endOf(instruction.set, at);
          pc++;
          break;
        case "place":
          fails = !isPlace(instruction.place, this.#text, at);
          pc++;
          break;
        case "look":
          fails = this.isSeen(instruction, at) === instruction.negative;
          pc++;
          break;
        case "atomic": {
          const end = this.endOf(instruction.program, at);
          fails = end < 0;
          at = fails ? at : end;
          pc++;
          break;
        }
        case "loop":
          throw new Error("What a pattern looks at was compiled with a loop.");
        case "match":
        case undefined:
          if (ways.accepts(at)) {
            return at;
          }
          fails = true;
      }
      if (!fails) {
        continue;
      }
      const [length, place, next] = [stack.pop(), stack.pop(), stack.pop()];
      if (length === undefined || place === undefined || next === undefined) {
        return -1;
      }
      ways.backTo(length);
      at = place;
      pc = next;
    }
  }

  /** Whether what an instruction looks for is there, negative or not. */
  isSeen(
    { program, back }: { program: Program; back: readonly number[] | undefined },
    index: number,
  ): boolean {
    return back === undefined ? this.isAhead(program, index) : this.isBehind(program, index, back);
  }
}

/** What a run remembers. */
interface Ways {
  /** Called at an instruction with a choice. */
  enter: (memo: number, at: number) => "go" | "fail" | "match";
  /** The length of the way so far, to which `backTo` returns. */
  mark: () => number;
  backTo: (length: number) => void;
  /** Whether a match may end here. */
  accepts: (end: number) => boolean;
}
