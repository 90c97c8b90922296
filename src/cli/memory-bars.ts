/** Draws where memory goes, as bars of text. */
import { formatBytes } from "../base/bytes.ts";
import { alignColumns } from "../base/text-table.ts";

/** A part of memory, and the character that stands for it. */
const PARTS = [
  { name: "weights", mark: "█" },
  { name: "KV cache", mark: "▓" },
  { name: "work", mark: "░" },
] as const;

const WIDTH = 40;

/** Bytes of what a model takes. */
export interface MemoryParts {
  readonly name: string;
  /** Bytes of weights, KV cache and work. */
  readonly bytes: readonly [weights: number, cache: number, work: number];
}

/** A bar for each, the longest as wide as all; with the bytes of its parts, and what the marks mean. */
export function memoryBars(rows: readonly MemoryParts[]): string[] {
  const most = Math.max(1, ...rows.map(({ bytes }) => sum(bytes)));
  const lines = rows.map(({ name, bytes }) => [
    name,
    barOf(bytes, WIDTH / most).padEnd(WIDTH),
    PARTS.map((part, i) => `${part.name} ${formatBytes(bytes[i])}`).join(", "),
  ]);
  return [...alignColumns(lines), "", PARTS.map(({ name, mark }) => `${mark} ${name}`).join("  ")];
}

/** A part ends where all up to it end, so that rounding moves no part by more than one character. */
function barOf(bytes: readonly number[], charactersPerByte: number): string {
  const ends = bytes.map((_, i) => Math.round(sum(bytes.slice(0, i + 1)) * charactersPerByte));
  return PARTS.map(({ mark }, i) => mark.repeat(ends[i] - (ends[i - 1] ?? 0))).join("");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
