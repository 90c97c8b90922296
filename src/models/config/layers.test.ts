/** What config.json says of single layers: windows, experts, key heads, rotations; and of a language model among others. */
import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../base/json.ts";
import { qwenWindowKeys, readQwenWindows, readWindows } from "./attention-windows.ts";
import { readExperts } from "./experts.ts";
import { decoderStartToken, mergeGenerationConfigs } from "./generation.ts";
import { readKvHeads } from "./heads.ts";
import { readLayeredRope } from "./layered-rope.ts";
import type { ConfigFile } from "./schema.ts";
import { readTextConfig } from "./text-config.ts";
import { z } from "zod";

const fileOf = (values: JsonObject = {}): ConfigFile => ({ path: "config.json", values, notices: [] });

function failureOf(work: () => unknown): { code: string; message: string } {
  try {
    work();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  return { code: "none", message: "nothing was refused" };
}

describe("windows", () => {
  const windows = (types: string[] | null | undefined, window?: number | null): unknown =>
    readWindows(fileOf(), { layers: 3, types, window, slides: (layer) => layer === 1 });

  test("are those of the kinds that the file gives, else of the family's", () => {
    const kinds = ["sliding_attention", "full_attention", "sliding_attention"];
    expect(windows(kinds, 8)).toEqual([8, undefined, 8]);
    expect(windows(null, 8)).toEqual([undefined, 8, undefined]);
    expect(windows(Array<string>(3).fill("full_attention"))).toEqual([undefined, undefined, undefined]);
  });

  test("need a kind a layer, of those that are known, and a size", () => {
    expect(failureOf(() => windows(["full_attention"], 8))).toEqual({
      code: "invalid-config",
      message: expect.stringContaining(
        '"layer_types" has 1 entries; expected "num_hidden_layers", 3.',
      ) as string,
    });
    expect(failureOf(() => windows(["full_attention", "chunked", "x"], 8))).toEqual({
      code: "unsupported",
      message: expect.stringContaining('has "chunked" for layer 1; supported are') as string,
    });
    for (const none of [null, undefined]) {
      expect(failureOf(() => windows(null, none))).toEqual({
        code: "invalid-config",
        message: expect.stringContaining(
          'layer 1 has sliding attention, but there is no "sliding_window"',
        ) as string,
      });
    }
  });

  test("of Qwen are in use where the file says so, from a layer on", () => {
    const qwen = (values: JsonObject): unknown =>
      readQwenWindows(fileOf(), 3, z.object(qwenWindowKeys).parse(values));
    expect(qwen({ sliding_window: 8, max_window_layers: 1 })).toEqual([undefined, undefined, undefined]);
    const used = { use_sliding_window: true, sliding_window: 8 };
    expect(qwen({ ...used, max_window_layers: 1 })).toEqual([undefined, 8, 8]);
    expect(qwen(used)).toEqual([undefined, undefined, undefined]);
    expect(qwen({ ...used, sliding_window: null, max_window_layers: 0 })).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("experts", () => {
  const experts = { count: 4, chosen: 4, normalize: true, intermediateSize: 8, layers: [true] };

  test("a token has as many as there are at most, and none besides", () => {
    expect(readExperts(fileOf({ n_shared_experts: 0, num_shared_experts: null }), "n", experts)).toEqual(
      experts,
    );
    expect(failureOf(() => readExperts(fileOf(), "num_experts", { ...experts, chosen: 5 }))).toEqual({
      code: "invalid-config",
      message: expect.stringContaining(
        '"num_experts_per_tok" is 5; expected at most "num_experts", 4.',
      ) as string,
    });
    for (const key of ["shared_expert_intermediate_size", "n_shared_experts", "num_shared_experts"]) {
      expect(failureOf(() => readExperts(fileOf({ [key]: 1 }), "n", experts))).toEqual({
        code: "unsupported",
        message: expect.stringContaining(`"${key}" is 1; experts that every token has`) as string,
      });
    }
  });
});

test("key heads are as many as the others, or a part of them", () => {
  const kvHeads = (kv: number | null | undefined): number =>
    readKvHeads(fileOf(), { num_attention_heads: 6, num_key_value_heads: kv });
  expect([undefined, null, 6, 3, 1].map(kvHeads)).toEqual([6, 6, 6, 3, 1]);
  expect(failureOf(() => kvHeads(4))).toMatchObject({ code: "invalid-config" });
  expect(failureOf(() => kvHeads(4)).message).toContain(
    '"num_attention_heads" is 6; expected a multiple of "num_key_value_heads", 4.',
  );
});

describe("rotations of layers with a window", () => {
  const defaults = { theta: 1e6, localTheta: 1e4 };
  const thetas = (values: JsonObject, of: Parameters<typeof readLayeredRope>[1] = defaults): unknown => {
    const { rope, localRope } = readLayeredRope(fileOf(values), of);
    return [rope, localRope];
  };

  test("are the class's where the file says nothing", () => {
    expect(thetas({})).toMatchObject([{ theta: 1e6 }, { theta: 1e4 }]);
  });

  test("transformers 4: the scaling is of the layers without a window, and the base may have a key of its own", () => {
    const scaling = { rope_type: "linear", factor: 8 };
    const values = { rope_theta: 5e5, rope_local_base_freq: 2e4, rope_scaling: scaling };
    const [rope, local] = thetas(values, { ...defaults, localThetaKey: "rope_local_base_freq" }) as object[];
    expect(rope).toMatchObject({ theta: 5e5 });
    expect(JSON.stringify(rope)).toContain("8");
    expect(local).toMatchObject({ theta: 2e4 });
    expect(JSON.stringify(local)).not.toContain("8");
    expect(thetas(values)).toMatchObject([{ theta: 5e5 }, { theta: 5e5 }]);
  });

  test("transformers 5: an object for each, of which one may be missing or null", () => {
    const full = { rope_type: "linear", factor: 8, rope_theta: 5e5 };
    const local = { rope_type: "default", rope_theta: 3e4 };
    const both = { rope_parameters: { full_attention: full, sliding_attention: local } };
    const [rope, windowed] = thetas(both) as object[];
    expect(rope).toMatchObject({ theta: 5e5 });
    expect(JSON.stringify(rope)).toContain("8");
    expect(windowed).toMatchObject({ theta: 3e4 });
    expect(thetas({ rope_parameters: { sliding_attention: local } })).toMatchObject([
      { theta: 1e6 },
      { theta: 3e4 },
    ]);
    expect(thetas({ rope_parameters: { full_attention: full, sliding_attention: null } })).toMatchObject([
      { theta: 5e5 },
      { theta: 1e4 },
    ]);
    const outer = { rope_theta: 7e5, rope_parameters: { full_attention: { rope_type: "default" } } };
    expect(thetas(outer)).toMatchObject([{ theta: 7e5 }, { theta: 7e5 }]);
    expect(failureOf(() => thetas({ rope_parameters: { full_attention: 5 } }))).toMatchObject({
      code: "invalid-config",
    });
  });
});

test("of a model of images and text the language model is taken, with a word", () => {
  const file = fileOf({
    text_config: { hidden_size: 8, eos_token_id: 3 },
    eos_token_id: 4,
    bos_token_id: 2,
    tie_word_embeddings: false,
    vision_config: {},
  });
  expect(readTextConfig(file).values).toEqual({
    hidden_size: 8,
    eos_token_id: 3,
    bos_token_id: 2,
    tie_word_embeddings: false,
  });
  expect(file.notices).toEqual([expect.stringContaining("its language model is used")]);
  for (const text of [undefined, null, []]) {
    expect(failureOf(() => readTextConfig(fileOf({ text_config: text as never })))).toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining('"text_config" is') as string,
    });
  }
});

test("a decoder begins with its own token, else with that of texts", () => {
  const settings = {};
  expect(decoderStartToken({ settings, decoderStartTokenId: 3, bosTokenId: 1 }, 4, "m")).toBe(3);
  expect(decoderStartToken({ settings, bosTokenId: 0 }, 4, "m")).toBe(0);
  expect(failureOf(() => decoderStartToken({ settings, decoderStartTokenId: 4 }, 4, "m")).message).toContain(
    'in "m" has decoder_start_token_id 4; expected an id from 0 to 3.',
  );
  expect(failureOf(() => decoderStartToken({ settings }, 4, "m")).message).toContain(
    "has no decoder_start_token_id;",
  );
});

test("settings of generation are those of one file, special tokens of either", () => {
  const ofModel = {
    settings: { top_k: 5 },
    bosTokenId: 1,
    eosTokenIds: [2],
    padTokenId: 3,
    decoderStartTokenId: 4,
  };
  expect(mergeGenerationConfigs({ settings: {} }, ofModel)).toEqual(ofModel);
  const own = {
    settings: { top_p: 1 },
    bosTokenId: 0,
    eosTokenIds: [],
    padTokenId: 0,
    decoderStartTokenId: 0,
  };
  expect(mergeGenerationConfigs(own, ofModel)).toEqual(own);
});
