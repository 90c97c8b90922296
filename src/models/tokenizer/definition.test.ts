import { describe, expect, test } from "vitest";
import { parseDefinition, type DefinitionPart } from "./definition.ts";

const MODEL = { type: "BPE", vocab: { a: 0, b: 1, ab: 2, "<s>": 3 }, merges: [["a", "b"]] };

function parse(json: unknown, specialNames: string[] = []): DefinitionPart[] {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  return [...parseDefinition(new TextEncoder().encode(text), "m/tokenizer.json", specialNames)];
}

describe("parseDefinition", () => {
  test("header without the large tables, then tokens, then merges", () => {
    const [header, ...slices] = parse({ model: MODEL, added_tokens: [{ id: 9, content: "<x>" }] });
    expect(header).toMatchObject({
      kind: "header",
      vocabSize: 10,
      unknownId: undefined,
      header: {
        decoder: null,
        added_tokens: [{ id: 9, content: "<x>", special: false }],
        model: { vocab: {}, merges: [] },
      },
    });
    expect(slices).toEqual([
      { kind: "tokens", tokens: ["a", "b", "ab", "<s>"], ids: [0, 1, 2, 3] },
      { kind: "merges", firstRank: 0, keys: ['["a","b"]'] },
    ]);
  });

  test("slices are bounded and complete", () => {
    const vocab = Object.fromEntries(Array.from({ length: 10_000 }, (_, id) => [`t${id}`, id]));
    const slices = parse({ model: { ...MODEL, vocab, merges: [] } }).filter((part) => part.kind === "tokens");
    expect(slices.map((slice) => slice.tokens.length)).toEqual([4096, 4096, 1808]);
    expect(slices.flatMap((slice) => slice.ids)).toEqual(Array.from({ length: 10_000 }, (_, id) => id));
  });

  test("replacements that multiply a text are refused, those of models are not", () => {
    const replace = (from: string, content: string): unknown => ({
      type: "Replace",
      pattern: { String: from },
      content,
    });
    const sequence = (steps: unknown[]): unknown => ({
      type: "Sequence",
      normalizers: steps,
      decoders: steps,
    });
    const plain = sequence([replace(" ", "▁"), replace("▁", " "), replace("...", "…")]);
    expect(parse({ model: MODEL, normalizer: plain, decoder: plain })).not.toEqual([]);
    const doubling = sequence([sequence(Array.from({ length: 40 }, () => replace("e", "ee")))]);
    for (const part of ["normalizer", "decoder"]) {
      expect(() => parse({ model: MODEL, [part]: doubling })).toThrow(
        `"m/tokenizer.json" has a ${part} that makes texts more than 256 times as long`,
      );
    }
  });

  test("both spellings of merges", () => {
    expect(parse({ model: { ...MODEL, merges: ["a b"] } })).toEqual(parse({ model: MODEL }));
  });

  test("a token that is special by name only becomes an added token", () => {
    const added = (names: string[]) => {
      const [header] = parse({ model: MODEL, added_tokens: [{ id: 2, content: "ab" }] }, names);
      return header?.kind === "header"
        ? header.header.added_tokens.map((token) => [token.content, token.special])
        : [];
    };
    expect(added(["<s>", "<s>", "<not there>"])).toEqual([
      ["ab", false],
      ["<s>", true],
    ]);
    expect(added(["ab"])).toEqual([["ab", false]]);
  });

  test.each([
    ["{", "invalid-config", "not valid JSON"],
    ["[]", "invalid-config", "expected a JSON object"],
    [{}, "invalid-config", 'has nothing as "model"'],
    [{ model: { vocab: {} } }, "invalid-config", 'a "model" without "type"'],
    [{ model: { ...MODEL, type: "Unigram" } }, "unsupported", 'a model of type "Unigram"'],
    [{ model: { ...MODEL, dropout: 0.1 } }, "unsupported", "model.dropout (0.1)"],
    [
      { model: { ...MODEL, continuing_subword_prefix: "##" } },
      "unsupported",
      'continuing_subword_prefix ("##")',
    ],
    [{ model: { ...MODEL, vocab: ["a"] } }, "invalid-config", '"model.vocab"; expected an object'],
    [{ model: { ...MODEL, vocab: { a: "0" } } }, "invalid-config", 'the token "a" the id "0"'],
    [{ model: { ...MODEL, vocab: { a: -1 } } }, "invalid-config", 'the token "a" the id -1'],
    [{ model: { ...MODEL, merges: {} } }, "invalid-config", '"model.merges"; expected a list'],
    [
      { model: { ...MODEL, merges: ["a b c"] } },
      "invalid-config",
      'has "a b c" as merge 0; expected two tokens',
    ],
    [{ model: { ...MODEL, merges: [["b", "a"]] } }, "invalid-config", 'merges to "ba" (merge 0)'],
    [{ model: MODEL, added_tokens: [{ id: 1.5, content: "x" }] }, "invalid-config", "has the added token"],
    [{ model: MODEL, added_tokens: {} }, "invalid-config", '"added_tokens"; expected a list'],
  ])("%j: %s, %s", (json, code, message) => {
    expect(() => parse(json)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
    );
    expect(() => parse(json)).toThrow('"m/tokenizer.json"');
  });
});
