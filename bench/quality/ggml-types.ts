/**
 * What weights become in llama.cpp's formats of blocks of 32 with a scale (and, q4_1, a minimum) in f16, to the last bit: the
 * functions quantize_row_q4_0_ref, q4_1 and q8_0 of ggml, and what its kernels read.
 */
export const GGML_TYPES = ["q4_0", "q4_1", "q8_0"] as const;
export type GgmlType = (typeof GGML_TYPES)[number];

const BLOCK = 32;
const f32 = Math.fround;

/** Rounds a matrix, row by row, in place; a row's last block may be shorter. */
export function roundTrip(values: Float32Array, columns: number, type: GgmlType): void {
  const round = { q4_0: roundFour, q4_1: roundFourOne, q8_0: roundEight }[type];
  for (let row = 0; row < values.length; row += columns) {
    for (let from = 0; from < columns; from += BLOCK) {
      round(values.subarray(row + from, row + Math.min(from + BLOCK, columns)));
    }
  }
}

function roundFour(block: Float32Array): void {
  let most = 0;
  for (const value of block) {
    most = Math.abs(value) > Math.abs(most) ? value : most;
  }
  const step = f32(most / -8);
  const inverse = step === 0 ? 0 : f32(1 / step);
  const stored = f16(step);
  block.forEach((value, i) => {
    const q = Math.min(15, Math.trunc(f32(f32(value * inverse) + 8.5)));
    block[i] = (q - 8) * stored;
  });
}

function roundFourOne(block: Float32Array): void {
  const least = Math.min(...block);
  const step = f32(f32(Math.max(...block) - least) / 15);
  const inverse = step === 0 ? 0 : f32(1 / step);
  const [storedStep, storedLeast] = [f16(step), f16(least)];
  block.forEach((value, i) => {
    const q = Math.min(15, Math.trunc(f32(f32(f32(value - least) * inverse) + 0.5)));
    block[i] = f32(q * storedStep) + storedLeast;
  });
}

function roundEight(block: Float32Array): void {
  const step = f32(block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127);
  const inverse = step === 0 ? 0 : f32(1 / step);
  const stored = f16(step);
  block.forEach((value, i) => {
    const exact = f32(value * inverse);
    block[i] = Math.sign(exact) * Math.round(Math.abs(exact)) * stored;
  });
}

/** The nearest number of IEEE 754 binary16, ties to even; scales of weights are far below its largest. */
export function f16(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
  const unit = 2 ** (exponent - 10);
  const scaled = value / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return value === 0 ? 0 : (rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1) * unit;
}
