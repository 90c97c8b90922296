/**
 * Philox4x32-10, the counter-based random generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3" (SC 2011); constants and test vectors from their library Random123.
 *
 * A draw is a pure function of key and counter, so it depends on no thread, batch or device. Everything is u32
 * arithmetic (no BigInt, no floats), so the same lines can be written in WGSL.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** The key schedule's increments: the golden ratio and √3 − 1 in 32-bit fixed point. */
const KEY_STEP_0 = 0x9e3779b9;
const KEY_STEP_1 = 0xbb67ae85;
const ROUNDS = 10;

/** The upper 32 bits of the 64-bit product of two u32, from four 16-bit partial products. */
export function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aLow, bLow) >>> 16) + (Math.imul(aHigh, bLow) & 0xffff) + Math.imul(aLow, bHigh);
  return (Math.imul(aHigh, bHigh) + (Math.imul(aHigh, bLow) >>> 16) + (middle >>> 16)) >>> 0;
}

/**
 * Encrypts a 128-bit counter with a 64-bit key.
 *
 * @param counter four u32, replaced by four uniform u32
 * @param key0 low word of the key, u32
 * @param key1 high word of the key, u32
 */
export function philox4x32(counter: Uint32Array, key0: number, key1: number): void {
  let [c0 = 0, c1 = 0, c2 = 0, c3 = 0] = counter;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 = (key0 + KEY_STEP_0) | 0;
    key1 = (key1 + KEY_STEP_1) | 0;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

const scratch = new Uint32Array(4);

/** Draws of one token: four words for each key in the 11 bits that a seed leaves of the key's upper word. */
const MAX_DRAWS = 4 * 2 ** 11;

/**
 * The uniform draw for one token: word 0 of Philox with key (seed low 32 bits, seed high 21 bits) and counter
 * (position, sequence[0], sequence[1], sequence[2]). Of several draws for one token, draw d is word d mod 4 with
 * floor(d / 4) in the key's upper 11 bits.
 *
 * @param seed integer in 0 .. 2^53 - 1
 * @param position index of the token in its sequence, prompt included; u32
 * @param sequence which sequence of a larger job; three u32
 * @param draw which of several draws for this token; 0 .. 2^13 - 1
 * @returns an integer in 0 .. 2^32 - 1
 */
export function uniform(
  seed: number,
  position: number,
  sequence: readonly [number, number, number],
  draw = 0,
): number {
  if (draw >= MAX_DRAWS) {
    throw new RangeError(`draw ${draw} of one token is beyond the last, ${MAX_DRAWS - 1}`);
  }
  scratch[0] = position;
  scratch[1] = sequence[0];
  scratch[2] = sequence[1];
  scratch[3] = sequence[2];
  philox4x32(scratch, seed >>> 0, Math.floor(seed / 2 ** 32) + (draw >>> 2) * 2 ** 21);
  return scratch[draw & 3] ?? 0;
}
