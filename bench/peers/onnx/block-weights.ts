/** Matrices as ONNX Runtime's MatMulNBits has them: what GGUF's Q8_0 and Q4_0 have, in another order. */
import type { TensorType } from "../gguf/format.ts";

/** Columns that share a scale. */
export const BLOCK_COLUMNS = 32;

/** The types that are stored so, with the bits of an element. */
export const BLOCK_BITS = { q8_0: 8, q4_0: 4 } as const satisfies Partial<Record<TensorType, number>>;
export type BlockType = keyof typeof BLOCK_BITS;

/** Bytes of the elements of a block. */
export function elementBytes(type: BlockType): number {
  return (BLOCK_COLUMNS * BLOCK_BITS[type]) / 8;
}

/**
 * Takes blocks of GGUF apart into elements and scales.
 *
 * @param blocks whole blocks: an f16 scale, then the elements
 * @returns elements, unsigned with their zero in the middle, in order of their columns (the first of two 4-bit ones is in
 *   the lower half of a byte), and scales as f32
 */
export function splitBlocks(
  blocks: Uint8Array,
  type: BlockType,
): { elements: Uint8Array; scales: Float32Array } {
  const size = elementBytes(type);
  const count = blocks.byteLength / (size + 2);
  const elements = new Uint8Array(count * size);
  const scales = new Float32Array(count);
  for (let block = 0; block < count; block++) {
    const from = block * (size + 2);
    const to = block * size;
    scales[block] = widenScale(blocks[from] | (blocks[from + 1] << 8));
    for (let i = 0; i < size; i++) {
      elements[to + i] = type === "q8_0" ? blocks[from + 2 + i] ^ 0x80 : pairOf(blocks, from + 2, i);
    }
  }
  return { elements, scales };
}

/** Byte i of 4-bit elements in order: columns 2 i and 2 i + 1, which GGUF has in halves of bytes of two places. */
function pairOf(blocks: Uint8Array, start: number, i: number): number {
  const at = (column: number): number =>
    column < 16 ? blocks[start + column] & 15 : blocks[start + column - 16] >>> 4;
  return at(2 * i) | (at(2 * i + 1) << 4);
}

/** The number of a finite f16. */
function widenScale(half: number): number {
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return half & 0x8000 ? -magnitude : magnitude;
}
