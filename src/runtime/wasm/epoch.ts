/**
 * Keeps track of what was touched since the last barrier, and decides what must wait for the next one: two accesses of
 * one place that different workers may make in any order, one of them a write. (instruction.ts says who writes where.)
 */
import type { Name } from "../program.ts";

/** How an instruction touches a place: "own" is what belongs to the worker that carries it out. */
export type Mode =
  /**
   * It accesses whole rows in its own memory. "write": it stores each number once, when it is final; "update": in
   * place.
   */
  | "read rows"
  | "write rows"
  | "update rows"
  /** It accesses its own columns (or blocks) in its own memory. */
  | "read columns"
  | "write columns"
  /** It copies its own columns into its peers' memories; "all": and into its own, where it has another bank. */
  | "push to peers"
  | "push to all"
  /** It writes rows that it owns into all memories. */
  | "scatter"
  /** It reads everyone's blocks, each in its owner's memory. */
  | "gather"
  /** Whoever runs a task accesses the memory of the task's owner; columns are the owner's. */
  | "task reads rows"
  | "task reads columns"
  | "task writes columns"
  /** Whoever runs a task fills scratch there, with the same numbers as others if they come from the same `source`. */
  | "task fills";

/** That an instruction touches a place, and how. */
export interface Access {
  place: string;
  mode: Mode;
  /** Name of what "task fills" fills scratch from. */
  source?: string;
}

export const bufferIn = (buffer: Name, bank: number): string => `${bank}: ${buffer}`;
export const partialsIn = (bank: number): string => `partials ${bank}`;
/** Scratch with the scaled input of products with f16 weights, or with a looked-up row of a table. */
export const scaledIn = (bank: number): string => `scaled ${bank}`;
export const logitsIn = (bank: number): string => `logits ${bank}`;
export const cacheOf = (layer: number): string => `cache ${layer}`;

const TASKS: readonly Mode[] = ["task reads rows", "task reads columns", "task writes columns", "task fills"];
const PUSHES: readonly Mode[] = ["push to peers", "push to all"];

/**
 * Modes that need a barrier between them, in whichever order they come; each pair is named once. A worker's accesses of
 * its own memory are in order by themselves, and so are two tasks on the same columns, which are one chain. Pairs that no
 * schedule has yet are here too.
 */
const CLASHES: Readonly<Record<Mode, readonly Mode[]>> = {
  "read rows": [...PUSHES, "scatter", "task writes columns", "task fills"],
  "write rows": [...PUSHES, "scatter", "gather", ...TASKS],
  "update rows": [...PUSHES, "scatter", "gather", ...TASKS],
  "read columns": ["scatter", "task writes columns", "task fills"],
  "write columns": ["scatter", "gather", ...TASKS],
  "push to peers": ["scatter", "gather", "task reads rows"],
  "push to all": ["scatter", "gather", ...TASKS],
  scatter: ["scatter", "gather", ...TASKS],
  gather: ["task writes columns"],
  "task reads rows": ["task writes columns"],
  "task reads columns": [],
  "task writes columns": [],
  "task fills": [],
};

/** The accesses since the last barrier. */
export class Epoch {
  readonly #accesses = new Map<string, Access[]>();

  /** Whether one of these must not be made before the next barrier. */
  clashes(accesses: readonly Access[]): boolean {
    return accesses.some((access) => {
      const before = this.#accesses.get(access.place) ?? [];
      const isReady = this.isReady(access.place);
      return before.some((earlier) => !(isReady && isTaskRead(access)) && clash(earlier, access));
    });
  }

  add(accesses: readonly Access[]): void {
    for (const access of accesses) {
      const before = this.#accesses.get(access.place);
      if (before === undefined) {
        this.#accesses.set(access.place, [access]);
      } else {
        before.push(access);
      }
    }
  }

  /**
   * Whether every worker has written this place whole for itself, before anything else happened there: whoever runs a task
   * that reads it can write it for the task's owner.
   */
  isReady(place: string): boolean {
    const [first, ...rest] = this.#accesses.get(place) ?? [];
    return (
      first?.mode === "write rows" && rest.every(({ mode }) => mode === "read rows" || TASK_READS.has(mode))
    );
  }
}

const TASK_READS: ReadonlySet<Mode> = new Set(["task reads rows", "task reads columns"]);

function isTaskRead({ mode }: Access): boolean {
  return TASK_READS.has(mode);
}

function clash(a: Access, b: Access): boolean {
  if (a.mode === "task fills" && b.mode === "task fills") {
    return a.source !== b.source;
  }
  return CLASHES[a.mode].includes(b.mode) || CLASHES[b.mode].includes(a.mode);
}
