/** Sets of bytes, as eight words of 32 bits. */
export type ByteSet = readonly [number, number, number, number, number, number, number, number];

/** The set of all bytes in some ranges, both ends included. */
export function byteSet(ranges: readonly (readonly [from: number, to: number])[]): ByteSet {
  const words = new Int32Array(8);
  for (const [from, to] of ranges) {
    for (let byte = from; byte <= to; byte++) {
      words[byte >>> 5] = (words[byte >>> 5] ?? 0) | (1 << (byte & 31));
    }
  }
  return [...words] as unknown as ByteSet;
}

export const hasByte = (set: ByteSet, byte: number): boolean =>
  (((set[byte >>> 5] ?? 0) >>> (byte & 31)) & 1) === 1;

/**
 * Numbers bytes by what sets tell apart: two bytes have one number when every set has both or neither.
 *
 * @returns the number of each byte, and a byte of each number
 */
export function byteClasses(sets: Iterable<ByteSet>): { classOf: Uint8Array; byteOf: number[] } {
  const signatures = Array.from({ length: 256 }, () => "");
  let count = 0;
  for (const set of sets) {
    for (let byte = 0; byte < 256; byte++) {
      if (hasByte(set, byte)) {
        signatures[byte] += `${count},`;
      }
    }
    count++;
  }
  const numbers = new Map<string, number>();
  const byteOf: number[] = [];
  const classOf = new Uint8Array(256);
  for (const [byte, signature] of signatures.entries()) {
    let number = numbers.get(signature);
    if (number === undefined) {
      number = byteOf.length;
      numbers.set(signature, number);
      byteOf.push(byte);
    }
    classOf[byte] = number;
  }
  return { classOf, byteOf };
}
