import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runAtOnce } from "../../base/async/slices.ts";
import { buildTokenizer, type BuiltTokenizer } from "./build.ts";
import { parseDefinition } from "./definition.ts";
import { NO_ADDITIONS } from "./token-additions.ts";

const TALES = fileURLToPath(new URL("../../../models/tales/tokenizer.json", import.meta.url));
const MODEL = { type: "BPE", vocab: { a: 0, b: 1, " ": 2, ab: 3, "<u>": 4 }, merges: [["a", "b"]] };

/** Builds a tokenizer of this tokenizer.json. */
function build(json: unknown): Promise<BuiltTokenizer> {
  const bytes = new TextEncoder().encode(typeof json === "string" ? json : JSON.stringify(json));
  const parts = async function* () {
    await Promise.resolve();
    yield* parseDefinition(bytes, "m/tokenizer.json", NO_ADDITIONS);
  };
  return buildTokenizer(parts(), "m/tokenizer.json");
}

function encode({ encoder }: BuiltTokenizer, text: string, most = Infinity): number[] {
  return runAtOnce(encoder.encode(text, { addSpecialTokens: true, most }));
}

describe("buildTokenizer", () => {
  test("has every token by its id and every id by its token", async () => {
    const text = await readFile(TALES, "utf8");
    const { tokens, idOf, vocabSize } = await build(text);
    const { model } = JSON.parse(text) as { model: { vocab: Record<string, number> } };
    expect(vocabSize).toBe(2048);
    for (const [token, id] of Object.entries(model.vocab)) {
      expect([tokens[id], idOf(token)]).toEqual([token, id]);
    }
  });

  test("names of object prototypes are tokens like others", async () => {
    // "__proto__" is a key that JSON allows and object literals do not.
    const vocab = '{"a": 0, "__proto__": 1, "_": 2, "constructor": 3}';
    const json = `{"added_tokens": [{"id": 1, "content": "__proto__"}], "model": {"type": "BPE", "vocab": ${vocab}, "merges": []}}`;
    const built = await build(json);
    expect(encode(built, "a__proto__a_")).toEqual([0, 1, 0, 2]);
    expect([built.idOf("constructor"), built.idOf("toString")]).toEqual([3, undefined]);
  });

  test("encoding ends when there are more ids than are wanted", async () => {
    const built = await build({ model: MODEL, pre_tokenizer: { type: "WhitespaceSplit" } });
    const text = "b a ".repeat(500);
    expect(encode(built, text)).toHaveLength(1000);
    const some = encode(built, text, 10);
    expect(some.length).toBeGreaterThan(10);
    expect(some.length).toBeLessThan(20);
    expect(encode(built, text, 1000)).toHaveLength(1000);
  });

  test.each([true, false])(
    "a text of added tokens alone has pauses too (normalized: %s)",
    async (normalized) => {
      const { encoder } = await build({
        model: MODEL,
        added_tokens: [{ id: 5, content: "<x>", normalized }],
      });
      const steps = encoder.encode("<x>".repeat(20_000), { addSpecialTokens: false, most: Infinity });
      let pauses = 0;
      while (steps.next().done !== true) {
        pauses++;
      }
      expect(pauses).toBeGreaterThan(3);
    },
  );

  test("a token for unknown characters that has no id is missed when a text needs it", async () => {
    const built = await build({ model: { ...MODEL, unk_token: "<unk>" } });
    expect(encode(built, "ab")).toEqual([3]);
    expect(() => encode(built, "ax")).toThrow('has no id for its unknown token "<unk>"');
  });
});

/** A pre-tokenizer in sequences within sequences. */
function nested(depth: number): unknown {
  return depth === 0 ? { type: "Whitespace" } : { type: "Sequence", pretokenizers: [nested(depth - 1)] };
}

const SPLIT = { type: "Split", pattern: { String: " " }, behavior: "Isolated", invert: false };
const SEQUENCE = { Sequence: { id: "A", type_id: 0 } };
const template = (...single: unknown[]): unknown => ({
  post_processor: {
    type: "TemplateProcessing",
    single,
    pair: [],
    special_tokens: { s: { ids: [0] }, t: { ids: ["0"] } },
  },
});
const special = (id: unknown): unknown => ({ SpecialToken: { id, type_id: 0 } });

describe("what is not followed is refused by name", () => {
  test.each<[string, object, string]>([
    ["a normalizer", { normalizer: { type: "Rot13" } }, 'the normalizer "Rot13" is not supported'],
    [
      "a normalizer of another model",
      { normalizer: { type: "BertNormalizer" } },
      'the normalizer "BertNormalizer"',
    ],
    ["a pre-tokenizer", { pre_tokenizer: { type: "UnicodeScripts" } }, '"UnicodeScripts" is not supported'],
    ["a decoder", { decoder: { type: "CTC" } }, "has the decoder CTC; supported are"],
    [
      "a post-processor",
      { post_processor: { type: "Rot13" } },
      'the post-processor "Rot13" is not supported',
    ],
    [
      "two templates",
      {
        post_processor: {
          type: "Sequence",
          processors: [
            { type: "BertProcessing", sep: ["b", 1], cls: ["a", 0] },
            ...[template(SEQUENCE)].map((t) => (t as { post_processor: unknown }).post_processor),
          ],
        },
      },
      '"TemplateProcessing" is the second of a sequence',
    ],
    ["a text twice", template(SEQUENCE, SEQUENCE) as object, 'has the text 2 times in "single"'],
    ["no text", template(special("s")) as object, 'has the text 0 times in "single"'],
    [
      "a prefix for the first word behind another pre-tokenizer",
      {
        pre_tokenizer: {
          type: "Sequence",
          pretokenizers: [{ type: "Whitespace" }, { type: "Metaspace", prepend_scheme: "first" }],
        },
      },
      'has the prepend_scheme "first" behind another pre-tokenizer',
    ],
    [
      "a prefix for the first word where a normalizer moves it",
      {
        normalizer: { type: "Strip", strip_left: true, strip_right: false },
        pre_tokenizer: { type: "Metaspace", prepend_scheme: "first" },
      },
      'has the prepend_scheme "first" behind a normalizer',
    ],
    [
      "a reference within a pattern",
      { pre_tokenizer: { ...SPLIT, pattern: { Regex: "(a)\\1" } } },
      'has the pattern "(a)\\\\1", which has "\\1", which is not supported',
    ],
    [
      "an atomic group without a bound",
      { pre_tokenizer: { ...SPLIT, pattern: { Regex: "(?>(?:ab)+)" } } },
      "has an atomic group or a possessive repetition without a bound",
    ],
    [
      "a pattern that looks back far",
      { normalizer: { type: "Replace", pattern: { Regex: "(?<=a+)b" }, content: "" } },
      "looks back at texts of different lengths",
    ],
  ])("%s", async (_name, parts, message) => {
    await expect(build({ model: MODEL, ...parts })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/^"m\/tokenizer\.json" /) as string,
    });
    await expect(build({ model: MODEL, ...parts })).rejects.toThrow(message);
  });
});

describe("what no tokenizer can mean is refused with what is expected", () => {
  const replace = (pattern: object, content: string): unknown => ({ type: "Replace", pattern, content });
  const doubling = {
    type: "Sequence",
    normalizers: Array.from({ length: 40 }, () => replace({ String: "e" }, "ee")),
  };
  test.each<[string, object, string]>([
    ["a number as a part", { normalizer: 5 }, "has 5 as normalizer; expected an object"],
    [
      "a part without a type",
      { pre_tokenizer: {} },
      'has {} as pre-tokenizer; expected an object with a "type"',
    ],
    [
      "a sequence of nothing",
      { pre_tokenizer: { type: "Sequence" } },
      'has nothing as "pretokenizers"; expected a list',
    ],
    [
      "sequences too deep",
      { pre_tokenizer: nested(20) },
      'the pre-tokenizer "Sequence" lies in more than 16 others',
    ],
    [
      "an empty pattern",
      { pre_tokenizer: { ...SPLIT, pattern: {} } },
      'has {} as "pattern"; expected {"String": "…"}',
    ],
    [
      "two patterns",
      { pre_tokenizer: { ...SPLIT, pattern: { String: "a", Regex: "b" } } },
      'has {"String":"a","Regex":"b"} as "pattern"; expected {"String": "…"}',
    ],
    [
      "an unknown behaviour",
      { pre_tokenizer: { ...SPLIT, behavior: "Merged" } },
      'has "Merged" as "behavior"; expected one of "Removed", "Isolated"',
    ],
    ["no behaviour", { pre_tokenizer: { ...SPLIT, behavior: undefined } }, 'has nothing as "behavior"'],
    [
      "a flag that is text",
      { pre_tokenizer: { ...SPLIT, invert: "no" } },
      'has "no" as "invert"; expected true or false',
    ],
    [
      "no length",
      { pre_tokenizer: { type: "FixedLength", length: 0 } },
      'has 0 as "length"; expected an integer >= 1',
    ],
    [
      "a delimiter of two characters",
      { pre_tokenizer: { type: "CharDelimiterSplit", delimiter: "ab" } },
      'has "ab" as "delimiter"; expected one character',
    ],
    [
      "a contradiction",
      { pre_tokenizer: { type: "Metaspace", add_prefix_space: false } },
      'sets "add_prefix_space" to false against',
    ],
    [
      "a template of text",
      template("x") as object,
      'has "x" in "single"; expected a "Sequence" or a "SpecialToken"',
    ],
    [
      "a second text",
      template({ Sequence: { id: "B" } }) as object,
      'has "B" in "single", which is about one text',
    ],
    [
      "an unknown token in a template",
      template(special("x"), SEQUENCE) as object,
      'names the token "x", for which',
    ],
    [
      "an id that is text in a template",
      template(special("t"), SEQUENCE) as object,
      'names the token "t", for which',
    ],
    [
      "a token without its id",
      { post_processor: { type: "BertProcessing", sep: ["b"], cls: ["a", 0] } },
      'has ["b"] as "sep"; expected a token and its id',
    ],
    [
      "an added token that vanishes",
      {
        normalizer: { type: "Strip", strip_left: true, strip_right: true },
        added_tokens: [{ id: 5, content: "  " }],
      },
      'has the added token "  ", of which normalizing leaves nothing',
    ],
    ["texts that grow and grow", { normalizer: doubling }, "make texts more than 256 times as long"],
    [
      "a long prefix",
      { normalizer: { type: "Prepend", prepend: "x".repeat(300) } },
      "make texts more than 256 times as long",
    ],
    [
      "a long replacement of nothing",
      { normalizer: replace({ Regex: "x*" }, "x".repeat(300)) },
      "more than 256 times as long",
    ],
    [
      "steps that grow only together",
      {
        normalizer: replace({ String: "e" }, "e".repeat(100)),
        pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
      },
      "more than 256 times as long",
    ],
    [
      "tokens that grow",
      {
        decoder: {
          type: "Sequence",
          decoders: Array.from({ length: 40 }, () => replace({ String: "e" }, "ee")),
        },
      },
      "has a decoder that makes tokens more than 256 times",
    ],
  ])("%s", async (_name, parts, message) => {
    const building = build({ model: MODEL, ...parts });
    await expect(building).rejects.toMatchObject({ code: "invalid-config" });
    await expect(building).rejects.toThrow(/^"m\/tokenizer\.json"/);
    await expect(building).rejects.toThrow(message);
  });

  test("replacements of models are not refused", async () => {
    const plain = [replace({ String: " " }, "▁"), replace({ String: "..." }, "…"), { type: "NFKC" }];
    const built = await build({
      model: MODEL,
      normalizer: { type: "Sequence", normalizers: [...plain, { type: "Prepend", prepend: "▁" }] },
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: true },
    });
    expect(built.vocabSize).toBe(5);
  });
});
