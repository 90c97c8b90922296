/**
 * Stores f32 numbers in the types of GGUF. The quantised ones are ggml's, bit by bit (`quantize_row_q8_0_ref` and
 * `quantize_row_q4_0_ref` in ggml-quants.c): 32 neighbouring columns share one f16 scale d, computed and applied in f32.
 */
import { bf16Bits, f16Bits } from "./float-bits.ts";
import { rowBytes, TENSOR_TYPES, type TensorType } from "./format.ts";

const BLOCK = 32;

/**
 * Stores numbers.
 *
 * @param values a multiple of the type's block
 * @returns the bytes, as many as `rowBytes(type, values.length)`
 */
export function store(values: Float32Array, type: TensorType): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  switch (type) {
    case "f32":
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case "f16":
      return inHalves(bits, f16Bits);
    case "bf16":
      return inHalves(bits, bf16Bits);
    case "q8_0":
      return inBlocks(values, type, quantizeQ8);
    case "q4_0":
      return inBlocks(values, type, quantizeQ4);
  }
}

/** A loop: `Uint16Array.from` with a function takes ten times as long. */
function inHalves(bits: Uint32Array, round: (bits: number) => number): Uint8Array {
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    halves[i] = round(bits[i]);
  }
  return new Uint8Array(halves.buffer);
}

type Quantize = (values: Float32Array, at: number, target: Uint8Array, offset: number) => void;

function inBlocks(values: Float32Array, type: TensorType, quantize: Quantize): Uint8Array {
  const target = new Uint8Array(rowBytes(type, values.length));
  const { blockBytes } = TENSOR_TYPES[type];
  for (let at = 0, offset = 0; at < values.length; at += BLOCK, offset += blockBytes) {
    quantize(values, at, target, offset);
  }
  return target;
}

const scaleValue = new Float32Array(1);
const scaleBits = new Uint32Array(scaleValue.buffer);

/** Writes d as f16, as two bytes. */
function writeScale(d: number, target: Uint8Array, offset: number): void {
  scaleValue[0] = d;
  const half = f16Bits(scaleBits[0] ?? 0);
  target[offset] = half & 0xff;
  target[offset + 1] = half >>> 8;
}

/** d = max |x| / 127, then 32 integers round(x / d), halves away from zero. */
function quantizeQ8(values: Float32Array, at: number, target: Uint8Array, offset: number): void {
  let largest = 0;
  for (let i = at; i < at + BLOCK; i++) {
    largest = Math.max(largest, Math.abs(values[i]));
  }
  const d = Math.fround(largest / 127);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  writeScale(d, target, offset);
  for (let i = 0; i < BLOCK; i++) {
    const scaled = Math.fround(values[at + i] * inverse);
    target[offset + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
  }
}

/**
 * d = x / -8 of the x whose magnitude is the largest, so that it becomes -8 exactly; then q = min(15, trunc(x / d + 8.5)),
 * which stands for (q - 8) d. Byte i has q of column i in its lower half and of column i + 16 in its upper half.
 */
function quantizeQ4(values: Float32Array, at: number, target: Uint8Array, offset: number): void {
  let largest = 0;
  let extreme = 0;
  for (let i = at; i < at + BLOCK; i++) {
    const magnitude = Math.abs(values[i]);
    if (magnitude > largest) {
      largest = magnitude;
      extreme = values[i];
    }
  }
  const d = Math.fround(extreme / -8);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  writeScale(d, target, offset);
  for (let i = 0; i < BLOCK / 2; i++) {
    const low = fourBits(values[at + i], inverse);
    const high = fourBits(values[at + i + BLOCK / 2], inverse);
    target[offset + 2 + i] = low | (high << 4);
  }
}

function fourBits(value: number, inverse: number): number {
  return Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5)));
}
