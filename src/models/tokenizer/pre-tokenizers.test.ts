import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../../base/errors.ts";
import { buildTokenizer } from "./build.ts";
import { Tokenizer } from "./library.ts";
import { correctPreTokenizer } from "./pre-tokenizers.ts";

/** Texts as the library in Rust splits them, by configuration: see make_pre_tokenizers.py. */
const cases = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/tokenizers/pre_tokenizers.json", import.meta.url), "utf8"),
) as [config: { type: string }, [text: string, parts: string[]][]][];

const header = (config: unknown): object => ({
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: config,
  post_processor: null,
  decoder: null,
  model: { type: "BPE", vocab: { a: 0 }, merges: [] },
});

function partsOf(config: unknown): (text: string) => string[] {
  const { pre_tokenizer: preTokenizer } = new Tokenizer(header(config), {});
  correctPreTokenizer(preTokenizer, config);
  return (text) => {
    // As in the library: what comes first is the section 0.
    const run = preTokenizer as unknown as (text: string, options: object) => string[];
    return text === "" ? [] : run(text, { section_index: 0 });
  };
}

test("there are cases of every kind", () => {
  expect(new Set(cases.map(([{ type }]) => type)).size).toBe(10);
  expect(cases.length).toBeGreaterThan(100);
});

test.each(cases)("%j splits as in Rust", (config, texts) => {
  const split = partsOf(config);
  for (const [text, parts] of texts) {
    // The library in Rust adds nothing to an empty text either, but gives it as a part in places.
    expect(split(text), JSON.stringify(text)).toEqual(parts.filter((part) => part !== "" && text !== ""));
  }
});

describe("what is not followed is refused by name", () => {
  const pattern = { String: " " };
  test.each<[string, object, string]>([
    [
      "an empty pattern",
      { type: "Split", pattern: {}, behavior: "Isolated" },
      "the pattern of a split is {}",
    ],
    [
      "two patterns",
      { type: "Split", pattern: { String: "a", Regex: "b" }, behavior: "Isolated" },
      "the pattern of a split is",
    ],
    [
      "an unknown behaviour",
      { type: "Split", pattern, behavior: "Merged" },
      'the behavior of a split is "Merged"',
    ],
    ["no behaviour", { type: "Split", pattern }, "the behavior of a split is nothing"],
    ["a behaviour of punctuation", { type: "Punctuation", behavior: 3 }, "the behavior of a split is 3"],
    ["a length", { type: "FixedLength", length: 0 }, "the length of FixedLength is 0"],
    ["a type", { type: "UnicodeScripts" }, "UnicodeScripts"],
    ["a type of the JavaScript library alone", { type: "Replace", pattern }, '"Replace" is not supported'],
    [
      "a part of a sequence",
      { type: "Sequence", pretokenizers: [{ type: "Split", pattern: {}, behavior: "Isolated" }] },
      "the pattern of a split is {}",
    ],
  ])("%s", async (_name, config, message) => {
    const parts = async function* () {
      yield await Promise.resolve({
        kind: "header" as const,
        header: header(config) as never,
        vocabSize: 1,
        unknownId: undefined,
        scheme: { kind: "tokenizers" as const },
      });
    };
    const building = buildTokenizer(parts() as never, "tokenizer.json");
    await expect(building).rejects.toBeInstanceOf(ModelComposeError);
    await expect(building).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(message) as string,
    });
  });
});
