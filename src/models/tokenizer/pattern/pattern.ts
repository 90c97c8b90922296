/**
 * Finds what a pattern matches, in time in proportion to the text, whatever the pattern: a backtracking matcher that
 * remembers at which instruction and place it has failed (Davis, Servant and Lee, "Using selective memoization to defeat
 * regular expression denial of service", 2021). The order of alternatives and all else is as a plain backtracking matcher's.
 */
import { CodePointSet } from "../code-point-set.ts";
import { before, behind, codePointAt } from "../code-points.ts";
import { LookAround } from "./look-around.ts";
import { compileProgram, type Instruction, type Program } from "./program.ts";
import { leastWidth, type PatternNode } from "./syntax.ts";
import { isPlace } from "./text-places.ts";

/** Steps of a scan between two pauses: about a millisecond. */
const STEPS = 50_000;

export class Pattern {
  readonly program: Program;
  /** The code points that a match begins with; undefined where one may be empty. */
  readonly firsts: CodePointSet | undefined;
  /** The least number of UTF-16 code units of a match. */
  readonly leastWidth: number;

  /** @throws PatternError for a pattern whose time or size has no bound */
  constructor(node: PatternNode) {
    this.program = compileProgram(node);
    this.leastWidth = leastWidth(node);
    this.firsts = this.leastWidth === 0 ? undefined : firstsOf(node);
  }

  /** A pattern of one code point of a set. */
  static ofSet(set: CodePointSet): Pattern {
    return new Pattern({ type: "set", set, units: undefined });
  }

  /** A search for all matches in a text, from left to right. */
  scan(text: string): Scan {
    return new Scan(this, text);
  }
}

function firstsOf(root: PatternNode): CodePointSet {
  const sets: CodePointSet[] = [];
  const collect = (node: PatternNode): void => {
    switch (node.type) {
      case "set":
        sets.push(node.set);
        return;
      case "sequence":
        for (const inner of node.nodes) {
          collect(inner);
          if (leastWidth(inner) > 0) {
            return;
          }
        }
        return;
      case "choice":
        node.nodes.forEach(collect);
        return;
      case "repeat":
      case "atomic":
        collect(node.node);
        return;
      case "look":
      case "place":
    }
  };
  collect(root);
  const [only, ...others] = new Set(sets);
  if (only !== undefined && others.length === 0) {
    return only;
  }
  return new CodePointSet((character) => {
    const point = character.codePointAt(0) ?? 0;
    return [...new Set(sets)].some((set) => set.has(point));
  });
}

/** One search for all matches in a text. They do not overlap; an empty one does not follow a match at its end. */
export class Scan {
  /** Where the match begins and ends that was found last. */
  start = 0;
  end = 0;
  readonly #text: string;
  readonly #instructions: readonly Instruction[];
  readonly #memos: number;
  readonly #firsts: CodePointSet | undefined;
  readonly #look: LookAround;
  /** One bit for an instruction that remembers and a place: whether it has failed there. */
  readonly #failed: Uint32Array;
  /** What is to be tried if the present way fails: instruction, and the last and the first place to try it at. */
  readonly #stack: number[] = [];
  /** Where the next search begins. */
  #from = 0;
  #lastMatchEnd = -1;
  /** The place at which a match is tried, and how far it has come: instruction and place; -1 between two trials. */
  #trial = 0;
  #pc = -1;
  #at = 0;

  constructor({ program, firsts }: Pattern, text: string) {
    this.#text = text;
    this.#instructions = program.instructions;
    this.#memos = program.memos;
    this.#firsts = firsts;
    this.#look = new LookAround(text);
    this.#failed = new Uint32Array(Math.ceil((program.memos * (text.length + 1)) / 32));
  }

  /**
   * Goes on to the next match, which `start` and `end` tell. After a pause, the same call goes on with the search; after the
   * end there is nothing more.
   */
  advance(): "match" | "pause" | "end" {
    let steps = STEPS;
    for (;;) {
      if (this.#pc < 0 && !this.#beginTrial()) {
        return "end";
      }
      if (this.#pc < 0) {
        return "pause";
      }
      const left = this.#try(steps);
      if (left === "pause") {
        return "pause";
      }
      if (left === "match") {
        this.#forget(this.end);
        this.#pc = -1;
        const isEmpty = this.end === this.#trial;
        if (isEmpty && this.end === this.#lastMatchEnd) {
          this.#from = behind(this.#text, this.#from);
          continue;
        }
        this.start = this.#trial;
        this.#lastMatchEnd = this.end;
        this.#from = this.end;
        return "match";
      }
      steps = left;
      this.#pc = -1;
      this.#from = behind(this.#text, this.#trial);
    }
  }

  /** Finds the next place at which a match may begin, unless it pauses on the way. @returns false at the end */
  #beginTrial(): boolean {
    const firsts = this.#firsts;
    const { length } = this.#text;
    if (firsts === undefined) {
      this.#trial = this.#from;
    } else {
      let at = this.#from;
      const most = Math.min(length, at + STEPS);
      while (at < most && !firsts.has(codePointAt(this.#text, at))) {
        at = behind(this.#text, at);
      }
      this.#trial = at;
      this.#from = at;
      if (at >= length) {
        return false;
      }
      if (at >= most) {
        return true;
      }
    }
    if (this.#trial > length) {
      return false;
    }
    this.#pc = 0;
    this.#at = this.#trial;
    this.#stack.length = 0;
    return true;
  }

  /** Tries to match at `#trial`. @returns the number of steps that are left where there is no match */
  #try(steps: number): "match" | "pause" | number {
    const { length } = this.#text;
    let pc = this.#pc;
    let at = this.#at;
    for (let left = steps; left > 0; left--) {
      const instruction = this.#instructions[pc];
      let fails = false;
      switch (instruction?.op) {
        case "set":
          if (at < length && instruction.set.has(codePointAt(this.#text, at))) {
            at = behind(this.#text, at);
            pc++;
          } else {
            fails = true;
          }
          break;
        case "split":
          if (this.#enter(instruction.memo, at)) {
            this.#stack.push(instruction.second, at, at);
            pc = instruction.first;
          } else {
            fails = true;
          }
          break;
        case "jump":
          pc = instruction.to;
          break;
        case "loop": {
          // A place where this loop has failed before need not be tried again, nor any behind it.
          const first = at;
          let last = -1;
          while (this.#enter(instruction.memo, at)) {
            last = at;
            if (at >= length || !instruction.set.has(codePointAt(this.#text, at))) {
              break;
            }
            at = behind(this.#text, at);
            left--;
          }
          pc++;
          fails = last < 0;
          at = last;
          if (last > first) {
            this.#stack.push(pc, before(this.#text, last), first);
          }
          break;
        }
        case "run":
          at = this.#look.runs.endOf(instruction.set, at);
          pc++;
          break;
        case "place":
          fails = !isPlace(instruction.place, this.#text, at);
          pc++;
          break;
        case "look":
          fails = this.#look.isSeen(instruction, at) === instruction.negative;
          pc++;
          break;
        case "atomic": {
          const end = this.#look.endOf(instruction.program, at);
          fails = end < 0;
          at = end;
          pc++;
          break;
        }
        case "match":
        case undefined:
          this.end = at;
          return "match";
      }
      if (!fails) {
        continue;
      }
      const [first, last, next] = [this.#stack.pop(), this.#stack.pop(), this.#stack.pop()];
      if (first === undefined || last === undefined || next === undefined) {
        return left;
      }
      pc = next;
      at = last;
      if (last > first) {
        this.#stack.push(next, before(this.#text, last), first);
      }
    }
    this.#pc = pc;
    this.#at = at;
    return "pause";
  }

  /** Notes that an instruction is tried at a place. @returns whether it may lead to a match: it has not been tried there */
  #enter(memo: number, at: number): boolean {
    const bit = at * this.#memos + memo;
    const word = this.#failed[bit >>> 5] ?? 0;
    const mask = 1 << (bit & 31);
    this.#failed[bit >>> 5] = word | mask;
    return (word & mask) === 0;
  }

  /** Forgets what was tried at the end of a match: some of it has led there. What was tried behind it has failed. */
  #forget(at: number): void {
    for (let bit = at * this.#memos; bit < (at + 1) * this.#memos; bit++) {
      this.#failed[bit >>> 5] = (this.#failed[bit >>> 5] ?? 0) & ~(1 << (bit & 31));
    }
  }
}
