/** Golden experts as gpt-oss' are published: MXFP4. */
import { E2M1, MXFP4_GROUP, MXFP4_GROUP_BYTES } from "../../src/runtime/checkpoint/mxfp4.ts";
import type { GoldenTensor, StoredDtype } from "./golden-weights.ts";

/** A tensor as a file has it. */
export interface StoredTensor extends Omit<GoldenTensor, "values"> {
  readonly dtype: StoredDtype | "U8";
  readonly bytes: Uint8Array;
}

/**
 * A tensor [experts, in, out] as NAME_blocks [experts, out, in / 32, 16] and NAME_scales [experts, out, in / 32]. Neighbouring
 * groups have different scales.
 *
 * @throws Error for a number that MXFP4 does not hold with these scales
 */
export function mxfp4Tensors({ name, shape, values }: GoldenTensor): StoredTensor[] {
  const [experts, columns, rows] = shape;
  const groups = columns / MXFP4_GROUP;
  const blocks = new Uint8Array(experts * rows * groups * MXFP4_GROUP_BYTES);
  const scales = new Uint8Array(experts * rows * groups);
  for (let at = 0; at < scales.length; at++) {
    const [g, row, e] = [at % groups, Math.floor(at / groups) % rows, Math.floor(at / (groups * rows))];
    const exponent = (at % 3) - 4;
    scales[at] = exponent + 127;
    for (let i = 0; i < MXFP4_GROUP; i++) {
      const value = values[(e * columns + g * MXFP4_GROUP + i) * rows + row] / 2 ** exponent;
      const code = E2M1.indexOf(value);
      if (code < 0) {
        throw new Error(`"${name}" has ${value} · 2^${exponent}, which is no number of MXFP4.`);
      }
      blocks[at * MXFP4_GROUP_BYTES + (i >> 1)] |= code << (4 * (i & 1));
    }
  }
  return [
    {
      name: `${name}_blocks`,
      shape: [experts, rows, groups, MXFP4_GROUP_BYTES],
      dtype: "U8",
      bytes: blocks,
    },
    { name: `${name}_scales`, shape: [experts, rows, groups], dtype: "U8", bytes: scales },
  ];
}
