/** Takes weights off the grid of levels that they were quantised to once. */
import { Sfc32 } from "../checkpoint/random-weights.ts";

const GROUP = 32;
const LEVELS = 16;

/**
 * Moves every weight of a matrix by up to half a step of its group's grid, evenly distributed, where all groups of 32 columns
 * have no more than 16 values; other matrices stay as they are.
 *
 * @param values the matrix, row by row; changed in place
 */
export function addGridNoise(values: Float32Array, columns: number, seed: number, name: string): void {
  if (columns % GROUP !== 0 || !isGrid(values)) {
    return;
  }
  const random = new Sfc32(seed, name);
  for (let from = 0; from < values.length; from += GROUP) {
    const group = values.subarray(from, from + GROUP);
    const step = (Math.max(...group) - Math.min(...group)) / (LEVELS - 1);
    for (let i = 0; i < GROUP; i++) {
      group[i] += step * (random.next() / 2 ** 32 - 0.5);
    }
  }
}

function isGrid(values: Float32Array): boolean {
  for (let from = 0; from < values.length; from += GROUP) {
    if (new Set(values.subarray(from, from + GROUP)).size > LEVELS) {
      return false;
    }
  }
  return true;
}
