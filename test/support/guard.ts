/**
 * The guards that laboratories for single kernels write around the memory that they give a kernel: a kernel that writes
 * too far is found out, and one that reads too far computes NaN.
 */

/** The bits of a NaN of f32. */
export const GUARD = 0x7fc0dead;

/** Number of words of a guard: more than a kernel's vectors or tiles reach over the end by one step too many. */
export const GUARD_WORDS = 64;

/**
 * Checks that a kernel wrote no guard.
 *
 * @param isGuard indices of the words that must be guards still, of all that a kernel could write
 * @throws Error with the bytes that were written
 */
export function checkGuard(words: Uint32Array, isGuard: Iterable<number>): void {
  const broken: number[] = [];
  for (const word of isGuard) {
    if (words[word] !== GUARD) {
      broken.push(word * 4);
    }
  }
  if (broken.length > 0) {
    throw new Error(`A kernel wrote outside its output, at bytes ${broken.join(", ")}.`);
  }
}
