/** gpt-oss' experts under their own names, as transformers has them and as MXFP4. */
import { describe, expect, test } from "vitest";
import { modelPath } from "../../test/support/golden.ts";
import { readWeights } from "../../test/support/reference-model.ts";
import type { Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import type { TensorLocation } from "../runtime/checkpoint/tensor-location.ts";
import { GPT_OSS_EXPERTS, withSeparateExperts } from "./expert-tensors.ts";
import { openModel } from "./open-model.ts";

test("every weight is the same as MXFP4, of which people are told", async () => {
  const plain = await openModel(modelPath("gpt_oss"));
  const packed = await openModel(modelPath("gpt_oss-mxfp4"));
  expect(plain.notices).toEqual([]);
  expect(packed.notices).toEqual([expect.stringContaining("stored as MXFP4 and become bf16")]);
  expect(packed.checkpoint.totalBytes).toBeLessThan(plain.checkpoint.totalBytes / 2);
  const expected = readWeights(plain.program, plain.checkpoint);
  const found = readWeights(packed.program, packed.checkpoint);
  expect(found.size).toBe(expected.size);
  for (const [weight, values] of expected) {
    expect(found.get(weight), weight).toEqual(values);
  }
});

describe("tensors of all experts", () => {
  const of = (dtype: TensorLocation["dtype"], shape: readonly number[], file = "f"): TensorLocation => ({
    name: "t",
    dtype,
    shape,
    file,
    offset: 100,
    byteLength: shape.reduce((product, size) => product * size, dtype === "U8" ? 1 : 2),
  });
  const separate = (tensors: Record<string, TensorLocation>) =>
    withSeparateExperts(
      { tensors: new Map(Object.entries(tensors)), notices: [] } as unknown as Checkpoint,
      GPT_OSS_EXPERTS,
    ).tensors;

  test("[experts, in, out]: gate in even columns, up in odd ones", () => {
    const tensors = separate({
      "h.0.mlp.experts.gate_up_proj": { ...of("BF16", [2, 5, 6]), checksum: 7 },
      "h.0.mlp.experts.gate_up_proj_bias": of("F32", [2, 6]),
      "h.0.mlp.experts.down_proj": of("BF16", [2, 3, 5]),
      "h.0.mlp.experts.down_proj_bias": of("BF16", [2, 5]),
    });
    expect(tensors.size).toBe(2 * 6);
    const up = { shape: [3, 5], strides: [2, 6], offset: 100 + (30 + 1) * 2, byteLength: 30 };
    expect(tensors.get("h.0.mlp.experts.1.up_proj.weight")).toEqual({ ...of("BF16", []), ...up });
    const bias = { shape: [3], strides: [2], offset: 100 + 6 * 4, byteLength: 12 };
    expect(tensors.get("h.0.mlp.experts.1.gate_proj.bias")).toEqual({ ...of("F32", []), ...bias });
    const down = { shape: [5, 3], strides: [1, 5], offset: 100 + 15 * 2, byteLength: 30 };
    expect(tensors.get("h.0.mlp.experts.1.down_proj.weight")).toEqual({ ...of("BF16", []), ...down });
    const downBias = { shape: [5], strides: [1], offset: 100 + 5 * 2, byteLength: 10 };
    expect(tensors.get("h.0.mlp.experts.1.down_proj.bias")).toEqual({ ...of("BF16", []), ...downBias });
  });

  test("MXFP4: gate in even rows, up in odd ones, scales in any file", () => {
    const tensors = separate({
      "mlp.experts.gate_up_proj_blocks": of("U8", [2, 6, 3, 16]),
      "mlp.experts.gate_up_proj_scales": of("U8", [2, 6, 3], "g"),
    });
    expect([...tensors.keys()]).toEqual(
      [0, 1].flatMap((e) => ["gate", "up"].map((part) => `mlp.experts.${e}.${part}_proj.weight`)),
    );
    expect(tensors.get("mlp.experts.1.up_proj.weight")).toEqual({
      ...of("BF16", [3, 96]),
      offset: 100 + 7 * 48,
      mxfp4: { rowStride: 96, scales: { name: "t", file: "g", offset: 100 + 7 * 3, rowStride: 6 } },
    });
  });

  test.each<[string, Record<string, TensorLocation>]>([
    ["two dimensions", { "mlp.experts.gate_up_proj": of("BF16", [3, 4]) }],
    ["too many experts", { "mlp.experts.down_proj": of("BF16", [5000, 1, 1]) }],
    ["blocks without scales", { "mlp.experts.down_proj_blocks": of("U8", [2, 6, 3, 16]) }],
    [
      "scales of another shape",
      {
        "mlp.experts.down_proj_blocks": of("U8", [2, 6, 3, 16]),
        "mlp.experts.down_proj_scales": of("U8", [2, 6, 4]),
      },
    ],
    [
      "larger groups",
      {
        "mlp.experts.down_proj_blocks": of("U8", [2, 6, 3, 32]),
        "mlp.experts.down_proj_scales": of("U8", [2, 6, 3]),
      },
    ],
  ])("%s: they stay as they are", (_, tensors) => {
    expect(Object.fromEntries(separate(tensors))).toEqual(tensors);
  });
});
