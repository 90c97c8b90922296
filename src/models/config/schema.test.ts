/** What files of configuration have in common: sizes, ids, names for the same thing, and what an error says of a file. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { JsonObject } from "../../base/json.ts";
import { readActivation } from "./activation.ts";
import { baseSchema, readBase, type BaseConfig } from "./base.ts";
import { readHeadDim } from "./heads.ts";
import {
  count,
  epsilon,
  headSize,
  notice,
  parseConfig,
  positions,
  size,
  tokenId,
  tokenIds,
  vocabularySize,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "./schema.ts";

const fileOf = (values: JsonObject): ConfigFile => ({ path: "config.json", values, notices: [] });

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was refused";
}

test.each<[string, z.ZodType, readonly unknown[], readonly unknown[]]>([
  ["size", size, [1, 2 ** 20], [0, -1, 2 ** 20 + 1, 1.5, Infinity, NaN, "1", null]],
  ["positions", positions, [1, 2 ** 31 - 1], [0, 2 ** 31, Infinity]],
  ["vocabularySize", vocabularySize, [1, 2 ** 22], [0, 2 ** 22 + 1, Infinity]],
  ["count", count, [1, 4096], [0, 4097]],
  ["headSize", headSize, [1, 65_536], [0, 65_537]],
  ["tokenId", tokenId, [0, 2 ** 31 - 1], [-1, 2 ** 31]],
  ["epsilon", epsilon, [2 ** -126, 1e-12, 1], [0, 1e-40, 1.1, Infinity]],
])("%s: from the least to the largest", (_name, schema, good, bad) => {
  expect(good.map((value) => schema.safeParse(value).success)).toEqual(good.map(() => true));
  expect(bad.map((value) => schema.safeParse(value).success)).toEqual(bad.map(() => false));
});

test("token ids are one or a list, each once, and -1 is none", () => {
  expect(tokenIds.parse(3)).toEqual([3]);
  expect(tokenIds.parse(-1)).toEqual([]);
  expect(tokenIds.parse([0, 5, -1, 5])).toEqual([0, 5]);
  expect(tokenIds.parse(Array(4096).fill(1))).toEqual([1]);
  expect(tokenIds.safeParse(-2).success).toBe(false);
  expect(tokenIds.safeParse(Array(4097).fill(1)).success).toBe(false);
});

test("every wrong key is named, with what was expected and found", () => {
  const schema = z.object({
    a: size,
    b: z.object({ c: z.array(count) }),
    d: z.number().positive(),
    e: z.number().lt(4),
    f: z.boolean(),
  });
  const values = { a: 0, b: { c: [1, 5000] }, d: 0, e: 4 };
  expect(messageOf(() => parseConfig(fileOf(values), schema))).toContain(
    '"config.json": "a": expected at least 1, found 0; "b.c.1": expected at most 4096, found 5000; ' +
      '"d": expected more than 0, found 0; "e": expected less than 4, found 4; "f": expected boolean, found nothing.',
  );
  expect(messageOf(() => parseConfig(fileOf({ ...values, a: 1.5 }), schema))).toContain(
    '"a": expected integer, found 1.5',
  );
  // The path of an error leads nowhere where a value on it is no object of its own.
  expect(messageOf(() => parseConfig(fileOf({ b: 3 }), z.object({ b: z.object({ c: size }) })))).toContain(
    '"b": expected object, found 3',
  );
});

describe("defaults of a class", () => {
  test("stand where the file says nothing, and are known for that; null in the file is a word", () => {
    const file = withDefaults(fileOf({ a: 1, b: null }), { a: 5, b: 6, c: 7 });
    expect(file.values).toEqual({ a: 1, b: null, c: 7 });
    expect(file.defaults).toEqual(new Set(["c"]));
  });
});

describe("other names", () => {
  const aliases = { hidden: "n_embd", heads: "n_head" };

  test("stand for the same; both are good where they agree", () => {
    expect(withAliases(fileOf({ hidden: 4, n_head: 2 }), aliases).values).toMatchObject({
      n_embd: 4,
      n_head: 2,
    });
    expect(withAliases(fileOf({ hidden: 4, n_embd: 4 }), aliases).values).toMatchObject({ n_embd: 4 });
    expect(withAliases(fileOf({ n_embd: 4 }), aliases).values).toEqual({ n_embd: 4 });
  });

  test("that differ are refused; the file stays as it was", () => {
    const file = fileOf({ hidden: 4, n_embd: 5 });
    expect(messageOf(() => withAliases(file, aliases))).toContain(
      '"n_embd" is 5 and "hidden", the same thing, 4; expected one value.',
    );
    const good = fileOf({ hidden: 4 });
    withAliases(good, aliases);
    expect(good.values).toEqual({ hidden: 4 });
  });
});

test("what is noticed of a file is told once, where anybody listens", () => {
  const file = fileOf({});
  notice(file, "it is odd.");
  notice(file, "it is odd.");
  notice(file, "it is old.");
  expect(file.notices).toEqual(['"config.json": it is odd.', '"config.json": it is old.']);
  expect(() => notice({ path: "x", values: {} }, "nobody hears")).not.toThrow();
});

test("activations have their formula's name; another is refused with the nearest", () => {
  const names = [
    "silu",
    "swish",
    "relu",
    "gelu",
    "gelu_python",
    "gelu_new",
    "gelu_fast",
    "gelu_pytorch_tanh",
  ];
  expect(names.map((name) => readActivation(fileOf({}), "act", name))).toEqual(
    ["silu", "silu", "relu", "gelu", "gelu", "gelu_tanh", "gelu_tanh", "gelu_tanh"], // prettier-ignore
  );
  expect(messageOf(() => readActivation(fileOf({}), "act", "gelu_nw"))).toContain(
    '"act" is "gelu_nw" (did you mean "gelu_new"?); supported are silu, swish, relu,',
  );
  expect(messageOf(() => readActivation(fileOf({}), "act", "xxxxxxxxxxxx"))).toContain(
    '"act" is "xxxxxxxxxxxx"; supported are',
  );
});

test("heads share the channels evenly, and are of a size that heads have", () => {
  const headDim = (hidden: number, heads: number): number =>
    readHeadDim(fileOf({}), ["n_embd", hidden], ["n_head", heads], " or a head_dim");
  expect(headDim(64, 4)).toBe(16);
  expect(headDim(65_536, 1)).toBe(65_536);
  expect(messageOf(() => headDim(64, 5))).toContain(
    '"n_embd" is 64; expected a multiple of "n_head", 5 or a head_dim.',
  );
  expect(messageOf(() => headDim(65_537, 1))).toContain("expected at most 65536.");
});

describe("special tokens", () => {
  function base(
    values: JsonObject,
    defaults: JsonObject = {},
  ): { read: Omit<BaseConfig, "maxPositions" | "layers">; notices: unknown } {
    // prettier-ignore
    const file = withDefaults(fileOf({ vocab_size: 10, ...values }), defaults);
    return { read: readBase(file, parseConfig(file, baseSchema)), notices: file.notices };
  }

  test("are those of the vocabulary; others are told, but not what only the class says", () => {
    const inside = base({ bos_token_id: 0, eos_token_id: [9, 1], pad_token_id: 9 });
    expect(inside.read).toMatchObject({ bosTokenId: 0, eosTokenIds: [9, 1], padTokenId: 9 });
    expect(inside.notices).toEqual([]);
    const outside = base({ bos_token_id: 10, eos_token_id: [9, 10, 11], pad_token_id: -1 });
    expect(outside.read).toMatchObject({ bosTokenId: undefined, eosTokenIds: [9], padTokenId: undefined });
    expect(outside.notices).toEqual([
      '"config.json": "bos_token_id" has 10, which is beyond the vocabulary of 10 and has no effect.',
      '"config.json": "eos_token_id" has 10, 11, which is beyond the vocabulary of 10 and has no effect.',
    ]);
    const ofClass = base({}, { bos_token_id: 50_256, eos_token_id: 50_256 });
    expect(ofClass.read).toMatchObject({ bosTokenId: undefined, eosTokenIds: [] });
    expect(ofClass.notices).toEqual([]);
  });

  test("settings of generation are those that change a text, and not null", () => {
    const values = { eos_token_id: 3, min_length: 5, forced_eos_token_id: null, torch_dtype: "float16" };
    expect(base(values).read.generationDefaults.settings).toEqual({ eos_token_id: 3, min_length: 5 });
  });
});
