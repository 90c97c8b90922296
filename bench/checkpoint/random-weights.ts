/**
 * Makes random weights at disk speed: a pool of 2^16 Gaussian values, rounded to the storage type once, indexed by the
 * two halves of each 32-bit word of a fast integer generator.
 */

export const WEIGHT_DTYPES = {
  bf16: { bytes: 2, safetensors: "BF16", torch: "bfloat16" },
  f16: { bytes: 2, safetensors: "F16", torch: "float16" },
  f32: { bytes: 4, safetensors: "F32", torch: "float32" },
} as const;

export type WeightDtype = keyof typeof WEIGHT_DTYPES;

const POOL_SIZE = 1 << 16;

/** Smallest normal number of f16. Nothing is below it, so that no dtype has denormals (they are slow on some CPUs). */
const SMALLEST_MAGNITUDE = 2 ** -14;

/** A pool of values, as bit patterns of the storage type. */
export type WeightPool = Uint16Array | Uint32Array;

/**
 * A pool of draws from N(mean, std²) by Box and Muller (1958). Values come in pairs mirrored at the mean, so the
 * pool's mean is exact.
 */
export function gaussianPool(dtype: WeightDtype, mean: number, std: number, seed: number): WeightPool {
  const random = new Sfc32(seed, "pool");
  const toBits = dtype === "bf16" ? bf16Bits : dtype === "f16" ? f16Bits : f32Bits;
  const pool = dtype === "f32" ? new Uint32Array(POOL_SIZE) : new Uint16Array(POOL_SIZE);
  for (let i = 0; i < POOL_SIZE; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((random.next() + 1) / 2 ** 32));
    const deviation = std * radius * Math.cos((2 * Math.PI * random.next()) / 2 ** 32);
    pool[i] = toBits(awayFromZero(mean + deviation));
    pool[i + 1] = toBits(awayFromZero(mean - deviation));
  }
  return pool;
}

function awayFromZero(value: number): number {
  if (Math.abs(value) >= SMALLEST_MAGNITUDE) {
    return value;
  }
  return value < 0 ? -SMALLEST_MAGNITUDE : SMALLEST_MAGNITUDE;
}

/**
 * Chris Doty-Humphrey's "small fast counter" generator with 32-bit words (PractRand's sfc32): 96 bits of state and
 * a 32-bit counter, so streams of different seeds do not overlap in practice.
 */
export class Sfc32 {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /**
   * @param seed integer in 0 .. 2^53 - 1
   * @param stream a name: each has its own independent sequence
   */
  constructor(seed: number, stream: string) {
    this.#a = fnv1a(stream);
    this.#b = seed | 0;
    this.#c = Math.floor(seed / 2 ** 32) | 0;
    for (let round = 0; round < 16; round++) {
      this.next();
    }
  }

  /** An integer in 0 .. 2^32 - 1. */
  next(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** Fills `out` with values of the pool, two for each word drawn. Both are arrays of the same element width. */
  fill(out: WeightPool, pool: WeightPool): void {
    // Local copies of the state: with fields, this loop is several times slower.
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let counter = this.#counter;
    for (let i = 0; i < out.length; i += 2) {
      const word = (a + b + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + word) | 0;
      out[i] = pool[word & 0xffff] ?? 0;
      out[i + 1] = pool[word >>> 16] ?? 0;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }
}

/** The FNV-1a hash of a name's UTF-16 units (Fowler, Noll, Vo). */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash | 0;
}

const f32 = new Float32Array(1);
const f32AsU32 = new Uint32Array(f32.buffer);

function f32Bits(value: number): number {
  f32[0] = value;
  return f32AsU32[0] ?? 0;
}

/** The bits of a finite value as bf16, rounded to nearest even. */
function bf16Bits(value: number): number {
  const bits = f32Bits(value);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The bits of a value as f16, rounded to nearest even; for magnitudes in f16's normal range only. */
function f16Bits(value: number): number {
  const bits = f32Bits(value);
  const rounded = bits + 0xfff + ((bits >>> 13) & 1);
  const magnitude = ((rounded & 0x7fffffff) >>> 13) - ((127 - 15) << 10);
  return ((bits >>> 16) & 0x8000) | magnitude;
}
