/** Experts that a checkpoint has as two tensors a layer are the same as those that have names of their own. */
import { describe, expect, test } from "vitest";
import { modelPath } from "../../test/support/golden.ts";
import { readWeights } from "../../test/support/reference-model.ts";
import type { Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import type { TensorLocation } from "../runtime/checkpoint/tensor-location.ts";
import { MIXTRAL_EXPERTS, QWEN_EXPERTS, withSeparateExperts } from "./expert-tensors.ts";
import { openModel } from "./open-model.ts";

test.each(["olmoe", "mixtral"])("%s: every weight is the same", async (name) => {
  const apart = await openModel(modelPath(name));
  const stacked = await openModel(modelPath(`${name}-stacked`));
  expect([...apart.checkpoint.files, ...stacked.checkpoint.files].length).toBe(2);
  expect([apart.notices, stacked.notices]).toEqual([[], []]);
  const expected = readWeights(apart.program, apart.checkpoint);
  const found = readWeights(stacked.program, stacked.checkpoint);
  expect(found.size).toBe(expected.size);
  for (const [weight, values] of expected) {
    expect(found.get(weight), weight).toEqual(values);
  }
});

describe("tensors of all experts", () => {
  const base: TensorLocation = {
    name: "t",
    dtype: "BF16",
    shape: [3, 4, 5],
    file: "f",
    offset: 100,
    byteLength: 120,
  };
  const separate = (tensors: Record<string, TensorLocation>, modules = QWEN_EXPERTS) =>
    withSeparateExperts({ tensors: new Map(Object.entries(tensors)) } as unknown as Checkpoint, modules)
      .tensors;

  test("are found by each expert's names, without a checksum of the whole", () => {
    const tensors = separate({ "h.0.mlp.experts.gate_up_proj": { ...base, checksum: 7 } });
    expect([...tensors.keys()]).toEqual(
      [0, 1, 2].flatMap((e) => ["gate", "up"].map((part) => `h.0.mlp.experts.${e}.${part}_proj.weight`)),
    );
    const up = tensors.get("h.0.mlp.experts.2.up_proj.weight");
    expect(up).toEqual({ ...base, shape: [2, 5], offset: 100 + (2 * 20 + 10) * 2, byteLength: 20 });
  });

  test("may lie with strides", () => {
    const strided = { ...base, strides: [1, 15, 3] };
    const tensors = separate({ "mlp.experts.down_proj": strided }, MIXTRAL_EXPERTS);
    expect(tensors.get("block_sparse_moe.experts.1.w2.weight")).toEqual({
      ...base,
      shape: [4, 5],
      strides: [15, 3],
      offset: 102,
      byteLength: 40,
    });
  });

  test.each<[string, readonly number[]]>([
    ["mlp.experts.gate_up_proj", [3, 5, 5]],
    ["mlp.experts.gate_up_proj", [3, 4]],
    ["mlp.experts.down_proj", [5000, 1, 1]],
    ["mlp.experts.gate_up", [3, 4, 5]],
  ])("%s of %j is none", (name, shape) => {
    const tensor = { ...base, shape };
    expect([...separate({ [name]: tensor })]).toEqual([[name, tensor]]);
  });
});
