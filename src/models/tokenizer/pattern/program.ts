/** Turns the tree of a pattern into instructions for the matcher. */
import type { CodePointSet } from "../code-point-set.ts";
import { fixedCodePoints, mostCodePoints, PatternError, type PatternNode, type Place } from "./syntax.ts";

export type Instruction =
  /** Takes one code point of a set. */
  | { op: "set"; set: CodePointSet }
  /** Goes on at `first`, and at `second` if that leads nowhere. */
  | { op: "split"; first: number; second: number; memo: number }
  | { op: "jump"; to: number }
  /** Takes as many code points of a set as there are, and gives them back one by one. */
  | { op: "loop"; set: CodePointSet; memo: number }
  /** Takes as many code points of a set as there are. */
  | { op: "run"; set: CodePointSet }
  | { op: "place"; place: Place }
  /** Whether a program matches here, or (`back`) the number of code points before it. */
  | { op: "look"; program: Program; negative: boolean; back: readonly number[] | undefined }
  /** Takes what a program matches, and nothing else. */
  | { op: "atomic"; program: Program }
  | { op: "match" };

export interface Program {
  readonly instructions: readonly Instruction[];
  /** Number of instructions that remember where they failed. */
  readonly memos: number;
}

/** Instructions of all programs of a pattern: what bounds the memory that a text takes while it is matched. */
const MOST_INSTRUCTIONS = 4096;

/** Code points that an atomic group may take, unless it is a repeated set. */
const MOST_ATOMIC = 64;

/** @throws PatternError for constructs whose time or size has no bound */
export function compileProgram(node: PatternNode): Program {
  return new Compiler({ count: 0 }, true).compile(node);
}

class Compiler {
  readonly #total: { count: number };
  /** Whether a repeated set becomes a loop of one instruction; in what is looked at it does not (see `LookAround`). */
  readonly #hasLoops: boolean;
  readonly #instructions: Instruction[] = [];
  #memos = 0;

  constructor(total: { count: number }, hasLoops: boolean) {
    this.#total = total;
    this.#hasLoops = hasLoops;
  }

  compile(node: PatternNode): Program {
    this.#emit(node);
    this.#push({ op: "match" });
    return { instructions: this.#instructions, memos: this.#memos };
  }

  #push(instruction: Instruction): number {
    if (++this.#total.count > MOST_INSTRUCTIONS) {
      throw new PatternError("is too large with its repetitions written out");
    }
    return this.#instructions.push(instruction) - 1;
  }

  get #end(): number {
    return this.#instructions.length;
  }

  #emit(node: PatternNode): void {
    switch (node.type) {
      case "set":
        this.#push({ op: "set", set: node.set });
        return;
      case "sequence":
        for (const inner of node.nodes) {
          this.#emit(inner);
        }
        return;
      case "choice":
        this.#choice(node.nodes);
        return;
      case "repeat":
        if (node.mode === "possessive") {
          this.#atomic({ ...node, mode: "greedy" });
        } else {
          this.#repeat(node);
        }
        return;
      case "place":
        this.#push({ op: "place", place: node.place });
        return;
      case "atomic":
        this.#atomic(node.node);
        return;
      case "look":
        this.#look(node);
    }
  }

  #choice(nodes: readonly PatternNode[]): void {
    const jumps: { op: "jump"; to: number }[] = [];
    nodes.forEach((inner, i) => {
      if (i === nodes.length - 1) {
        this.#emit(inner);
        return;
      }
      const split = this.#split();
      split.first = this.#end;
      this.#emit(inner);
      const jump = { op: "jump" as const, to: 0 };
      this.#push(jump);
      jumps.push(jump);
      split.second = this.#end;
    });
    for (const jump of jumps) {
      jump.to = this.#end;
    }
  }

  #split(): { op: "split"; first: number; second: number; memo: number } {
    const split = { op: "split" as const, first: 0, second: 0, memo: this.#memos++ };
    this.#push(split);
    return split;
  }

  #repeat({ node, min, max, mode }: Extract<PatternNode, { type: "repeat" }>): void {
    for (let i = 0; i < min; i++) {
      this.#emit(node);
    }
    const isLazy = mode === "lazy";
    if (max === Infinity) {
      if (node.type === "set" && !isLazy && this.#hasLoops) {
        this.#push({ op: "loop", set: node.set, memo: this.#memos++ });
        return;
      }
      const at = this.#end;
      const split = this.#split();
      const body = this.#end;
      this.#emit(node);
      this.#push({ op: "jump", to: at });
      [split.first, split.second] = isLazy ? [this.#end, body] : [body, this.#end];
      return;
    }
    const splits = [];
    for (let i = min; i < max; i++) {
      splits.push({ split: this.#split(), body: this.#end });
      this.#emit(node);
    }
    for (const { split, body } of splits) {
      [split.first, split.second] = isLazy ? [this.#end, body] : [body, this.#end];
    }
  }

  #atomic(node: PatternNode): void {
    if (node.type === "repeat" && node.node.type === "set" && node.max === Infinity) {
      for (let i = 0; i < node.min; i++) {
        this.#emit(node.node);
      }
      this.#push({ op: "run", set: node.node.set });
      return;
    }
    if (mostCodePoints(node) > MOST_ATOMIC) {
      throw new PatternError(
        "has an atomic group or a possessive repetition without a bound, which is supported of single characters only",
      );
    }
    this.#push({ op: "atomic", program: new Compiler(this.#total, false).compile(node) });
  }

  #look({ node, behind, negative }: Extract<PatternNode, { type: "look" }>): void {
    let back: number[] | undefined;
    if (behind) {
      const alternatives = node.type === "choice" ? node.nodes : [node];
      back = alternatives.map((alternative) => {
        const length = fixedCodePoints(alternative);
        if (length === undefined) {
          throw new PatternError("looks back at texts of different lengths");
        }
        return length;
      });
      back = [...new Set(back)];
    }
    this.#push({ op: "look", program: new Compiler(this.#total, false).compile(node), negative, back });
  }
}
