/** The contract of attention for few rows in more sizes of decode.wgsl, decode-subgroups.wgsl and combine.wgsl. */
import { afterAll, afterEach, beforeAll, describe } from "vitest";
import { attentionContract } from "../../../test/support/attention-contract.ts";
import { attendFew, subgroupsOf } from "../../../test/support/attend-few.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import type { DecodeAttentionVariant, DecodeTiling } from "./decode.gpu.ts";

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open();
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const variantOf = (directPositions: number, tiling: DecodeTiling): DecodeAttentionVariant => ({
  directPositions,
  direct: tiling,
  split: tiling,
  mostSplits: 32,
  workgroups: 128,
  combineColumns: 3,
  workgroupMemory: 16_384,
});

const SHAPES: [number, number, number][] = [
  [5, 1, 4],
  [3, 1, 48],
  [8, 2, 64],
  [16, 2, 80],
  [9, 1, 12],
  [6, 2, 112],
  [4, 1, 128],
  [5, 1, 256],
];

const TILINGS: readonly DecodeTiling[] = [
  { workgroup: 4, heads: 1, keyLanes: 1, keys: 1 },
  { workgroup: 8, heads: 8, keyLanes: 2, keys: 3 },
  { workgroup: 64, heads: 2, keyLanes: 4, keys: 2 },
  { workgroup: 256, heads: 4, keyLanes: 16, keys: 4 },
];

/** Positions up to which rows are done directly: none, some, all. */
describe.each([
  [0, "f32"],
  [64, "f16"],
  [256, "f32"],
] as const)("directly up to %i positions, a cache of %s", (positions, cache) => {
  describe.each([1, 3])("without subgroups, %i heads a workgroup", (heads) => {
    const variant = variantOf(positions, { workgroup: 256, heads, keyLanes: 8, keys: 1 });
    attentionContract((data) => attendFew(lab, variant)(data), SHAPES, cache);
  });

  describe.each(TILINGS)("with subgroups: %o", (tiling) => {
    const variant = variantOf(positions, tiling);
    attentionContract(
      (data) => attendFew(lab, { ...variant, subgroups: subgroupsOf(lab) })(data),
      SHAPES,
      cache,
    );
  });
});
