/** Regular expressions as a tree, without the constructs that need more than linear time (back references). */
import type { CodePointSet } from "../code-point-set.ts";

/** How a repetition chooses between going on and ending. */
export type RepeatMode = "greedy" | "lazy" | "possessive";

/** A place in the text, of no width. */
export type Place =
  "line-start" | "line-end" | "text-start" | "text-end" | "last-line-end" | "word-border" | "no-word-border";

export type PatternNode =
  /** One code point of a set. */
  | { type: "set"; set: CodePointSet; units: 1 | 2 | undefined }
  | { type: "sequence"; nodes: PatternNode[] }
  /** The first alternative that leads to a match. Without any, nothing matches. */
  | { type: "choice"; nodes: PatternNode[] }
  | { type: "repeat"; node: PatternNode; min: number; max: number; mode: RepeatMode }
  | { type: "look"; node: PatternNode; behind: boolean; negative: boolean }
  | { type: "place"; place: Place }
  /** What has matched is not tried otherwise. */
  | { type: "atomic"; node: PatternNode };

/** The least number of UTF-16 code units that a node matches. */
export function leastWidth(node: PatternNode): number {
  switch (node.type) {
    case "set":
      return node.units ?? 1;
    case "sequence":
      return node.nodes.reduce((sum, inner) => sum + leastWidth(inner), 0);
    case "choice":
      return Math.min(...node.nodes.map(leastWidth));
    case "repeat":
      return node.min === 0 ? 0 : node.min * leastWidth(node.node);
    case "atomic":
      return leastWidth(node.node);
    case "look":
    case "place":
      return 0;
  }
}

/** The most code points that a node matches; Infinity without a bound. */
export function mostCodePoints(node: PatternNode): number {
  switch (node.type) {
    case "set":
      return 1;
    case "sequence":
      return node.nodes.reduce((sum, inner) => sum + mostCodePoints(inner), 0);
    case "choice":
      return Math.max(0, ...node.nodes.map(mostCodePoints));
    case "repeat": {
      const most = mostCodePoints(node.node);
      return most === 0 ? 0 : most * node.max;
    }
    case "atomic":
      return mostCodePoints(node.node);
    case "look":
    case "place":
      return 0;
  }
}

/** The number of code points that a node matches, where it is always the same. */
export function fixedCodePoints(node: PatternNode): number | undefined {
  switch (node.type) {
    case "set":
      return 1;
    case "sequence": {
      let sum = 0;
      for (const inner of node.nodes) {
        const one = fixedCodePoints(inner);
        if (one === undefined) {
          return undefined;
        }
        sum += one;
      }
      return sum;
    }
    case "choice": {
      const [first, ...rest] = node.nodes.map(fixedCodePoints);
      return rest.every((one) => one === first) ? first : undefined;
    }
    case "repeat": {
      const one = fixedCodePoints(node.node);
      return one === undefined || node.min !== node.max ? undefined : one * node.min;
    }
    case "atomic":
      return fixedCodePoints(node.node);
    case "look":
    case "place":
      return 0;
  }
}

/** What a pattern has that is not read here, or is no pattern at all. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}
