/**
 * Weights of golden models: numbers of one integer hash of (tensor name, element index), described by a tensors.json.
 * test/fixtures/golden/golden_weights.py, for the models that PyTorch ran, computes the same numbers and has the formula.
 */

export type StoredDtype = "F32" | "BF16" | "F16";

/** The rule of numbers around `center`: sums of four draws of `bits` bits, times 2^`exponent`. */
interface WeightRule {
  readonly center: number;
  readonly bits: number;
  readonly exponent: number;
}

/** The content of a tensors.json. */
export interface TensorManifest {
  readonly seed: number;
  /** Format in which the model is stored. */
  readonly dtype: StoredDtype;
  readonly rules: Readonly<Record<string, WeightRule>>;
  /** The name of a rule and the shape, by tensor name; `h.{0,1}.x` stands for `h.0.x` and `h.1.x`. */
  readonly tensors: Readonly<Record<string, readonly [rule: string, ...shape: number[]]>>;
}

export interface GoldenTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The numbers, row-major. They are numbers of bf16 and of f16, so that every format holds them exactly. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** Every tensor of a model, in order of their names. */
export function goldenTensors({ seed, rules, tensors }: TensorManifest): GoldenTensor[] {
  return Object.entries(tensors)
    .flatMap(([pattern, [ruleName, ...shape]]) =>
      expandLayers(pattern).map((name) => {
        if (!Object.hasOwn(rules, ruleName)) {
          throw new Error(`Tensor "${name}" follows the rule "${ruleName}", which "rules" does not have.`);
        }
        const count = shape.reduce((product, size) => product * size, 1);
        return { name, shape, values: hashedWeights(`${seed}/${name}`, count, rules[ruleName]) };
      }),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The numbers of a tensor, element 0 first. */
export function hashedWeights(
  key: string,
  count: number,
  { center, bits, exponent }: WeightRule,
): Float32Array<ArrayBuffer> {
  const start = fnv1a(key);
  const scale = 2 ** exponent;
  const middle = 2 * (2 ** bits - 1);
  const shift = 8 - bits;
  return Float32Array.from({ length: count }, (_, index) => {
    const word = mix(mix(index) ^ start);
    let sum = 0;
    for (let byte = 0; byte < 32; byte += 8) {
      sum += ((word >>> byte) & 255) >>> shift;
    }
    return center + scale * (sum - middle);
  });
}

/** The bytes of numbers in a file. @throws Error where the format cannot hold a number exactly */
export function storedBytes(name: string, values: Float32Array<ArrayBuffer>, dtype: StoredDtype): Uint8Array {
  if (dtype === "F32") {
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  const toBits = dtype === "BF16" ? bf16OfBits : f16OfBits;
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const stored = Uint16Array.from(words, (word, i) => {
    const bits = toBits(word);
    if (bits === undefined) {
      throw new Error(`Element ${i} of "${name}" is ${values[i]}, which is no number of ${dtype}.`);
    }
    return bits;
  });
  return new Uint8Array(stored.buffer);
}

/** The bits of an f32 as bf16, its upper half; undefined where the rest is not zero. */
function bf16OfBits(word: number): number | undefined {
  return (word & 0xffff) === 0 ? word >>> 16 : undefined;
}

/**
 * The bits of an f32 as IEEE 754 binary16, undefined where it cannot hold the number: exponents -14 to 15 (or zero),
 * and 10 of 23 bits of the fraction.
 */
function f16OfBits(word: number): number | undefined {
  const sign = (word >>> 16) & 0x8000;
  if ((word & 0x7fffffff) === 0) {
    return sign;
  }
  const exponent = ((word >>> 23) & 255) - 127 + 15;
  const isExact = exponent >= 1 && exponent <= 30 && (word & 0x1fff) === 0;
  return isExact ? sign | (exponent << 10) | ((word >>> 13) & 0x3ff) : undefined;
}

function expandLayers(pattern: string): string[] {
  const layers = /\{(.*)\}/.exec(pattern);
  return layers === null ? [pattern] : layers[1].split(",").map((layer) => pattern.replace(layers[0], layer));
}

/** Permutes the 32-bit words (https://github.com/skeeto/hash-prospector, "lowbias32"). */
function mix(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The FNV-1a hash of 32 bits over UTF-8 (http://www.isthe.com/chongo/tech/comp/fnv/). */
function fnv1a(text: string): number {
  return new TextEncoder()
    .encode(text)
    .reduce((key, byte) => Math.imul(key ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
}
