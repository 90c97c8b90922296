import { describe, expect, test } from "vitest";
import { parseDefinition, type DefinitionPart } from "./definition.ts";
import { rankOf } from "./merge-table.ts";
import { NO_ADDITIONS } from "./token-additions.ts";

const MODEL = { type: "BPE", vocab: { a: 0, b: 1, ab: 2, "<s>": 3 }, merges: [["a", "b"]] };

function parse(json: unknown, named: string[] = []): DefinitionPart[] {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  const additions = { ...NO_ADDITIONS, named };
  return [...parseDefinition(new TextEncoder().encode(text), "m/tokenizer.json", additions)];
}

describe("parseDefinition", () => {
  test("header without the large tables, then merges, then tokens", () => {
    const [header, merges, ...slices] = parse({ model: MODEL, added_tokens: [{ id: 4, content: "<x>" }] });
    expect(header).toEqual({
      kind: "header",
      header: {
        pipeline: {
          decoder: undefined,
          normalizer: undefined,
          post_processor: undefined,
          pre_tokenizer: undefined,
        },
        model: {
          unknownToken: undefined,
          fuseUnknown: false,
          byteFallback: false,
          ignoreMerges: false,
          continuingPrefix: "",
          endSuffix: "",
        },
        addedTokens: [
          {
            id: 4,
            content: "<x>",
            special: false,
            normalized: true,
            lstrip: false,
            rstrip: false,
            singleWord: false,
          },
        ],
        splitsSpecialTokens: false,
        vocabSize: 5,
        scheme: { kind: "tokenizers" },
      },
    });
    expect(slices).toEqual([{ kind: "tokens", tokens: ["a", "b", "ab", "<s>"], ids: [0, 1, 2, 3] }]);
    const table = merges?.kind === "merges" ? merges.merges.table : undefined;
    expect(table && [rankOf(table, 0, 1), rankOf(table, 1, 0), table.results[0]]).toEqual([0, -1, 2]);
  });

  test("slices are bounded and complete", () => {
    const vocab = Object.fromEntries(Array.from({ length: 10_000 }, (_, id) => [`t${id}`, id]));
    const slices = parse({ model: { ...MODEL, vocab, merges: [] } }).filter((part) => part.kind === "tokens");
    expect(slices.map((slice) => slice.tokens.length)).toEqual([4096, 4096, 1808]);
    expect(slices.flatMap((slice) => slice.ids)).toEqual(Array.from({ length: 10_000 }, (_, id) => id));
  });

  test("both spellings of merges", () => {
    const tables = [["a b"], [["a", "b"]]].map((merges) => {
      const part = parse({ model: { ...MODEL, merges } }).find(({ kind }) => kind === "merges");
      return part?.kind === "merges" ? { ...part.merges.table, slots: 0, seed: 0 } : undefined;
    });
    expect(tables[0]).toEqual(tables[1]);
    expect(tables[0]?.lefts).toEqual(Int32Array.of(0));
  });

  test("a token that is special by name only becomes an added token, one that has no id gets one", () => {
    const added = (names: string[]) => {
      const [header] = parse({ model: MODEL, added_tokens: [{ id: 2, content: "ab" }] }, names);
      return header?.kind === "header"
        ? header.header.addedTokens.map((token) => [token.content, token.special, token.id])
        : [];
    };
    expect(added(["<s>", "<s>", "<not there>"])).toEqual([
      ["ab", false, 2],
      ["<s>", true, 3],
      ["<not there>", true, 4],
    ]);
    expect(added(["ab"])).toEqual([["ab", true, 2]]);
  });

  test.each([
    ["{", "invalid-config", "is not valid JSON: it ends in the middle."],
    ['{"model": {"type": "BP', "invalid-config", "is not valid JSON: it ends in the middle."],
    ['{"model":\n {]', "invalid-config", "is not valid JSON: line 2, column 3 has something that may not"],
    ["x".repeat(500), "invalid-config", 'is not valid JSON: "x" stands where something else must stand.'],
    ["[]", "invalid-config", "expected a JSON object"],
    [{}, "invalid-config", 'has nothing as "model"'],
    [{ model: { vocab: {} } }, "invalid-config", 'a "model" without "type"'],
    [{ model: { ...MODEL, type: "WordPiece" } }, "unsupported", 'a model of type "WordPiece"'],
    [{ model: { ...MODEL, dropout: 0.1 } }, "unsupported", "model.dropout (0.1)"],
    [{ model: { ...MODEL, dropout: "0" } }, "invalid-config", '"model.dropout"; expected a number, or null'],
    [
      { model: { ...MODEL, unk_token: 3 } },
      "invalid-config",
      'has 3 as "model.unk_token"; expected a string',
    ],
    [
      { model: { ...MODEL, byte_fallback: 1 } },
      "invalid-config",
      'has 1 as "model.byte_fallback"; expected a bool',
    ],
    [{ model: MODEL, version: 2 }, "invalid-config", 'has 2 as "version"; expected "1.0"'],
    [
      { model: { ...MODEL, vocab: { a: 0, b: 0 } } },
      "invalid-config",
      'gives the id 0 to two tokens, "a" and "b"',
    ],
    [
      { model: { ...MODEL, vocab: { a: 2 ** 22 } } },
      "invalid-config",
      'the token "a" the id 4194304; expected an integer from 0 to 4194303',
    ],
    [
      { model: MODEL, added_tokens: [{ id: 9, content: "<x>" }] },
      "invalid-config",
      'gives the added token "<x>" the id 9; by its vocabulary and the tokens before it, it is 4',
    ],
    [
      { model: MODEL, added_tokens: [{ id: 0, content: "ab" }] },
      "invalid-config",
      'gives the added token "ab" the id 0; by its vocabulary',
    ],
    [
      { model: { ...MODEL, vocab: { ...MODEL.vocab, z: 5 } }, added_tokens: [{ id: 5, content: "<x>" }] },
      "invalid-config",
      'gives the id 5 to two tokens, "z" and "<x>"',
    ],
    [
      { model: MODEL, added_tokens: [{ id: 4, content: "x".repeat(2000) }] },
      "invalid-config",
      "is a text of 1 to 1024 characters",
    ],
    [
      { model: MODEL, added_tokens: [{ id: 4, content: "x", lstrip: "yes" }] },
      "invalid-config",
      'has "yes" as "lstrip" of the token "x" in "added_tokens"; expected true or false',
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
    [{ model: { ...MODEL, merges: [["x", "b"]] } }, "invalid-config", 'merges "x" (merge 0), which is not'],
    [{ model: MODEL, added_tokens: [{ id: 1.5, content: "x" }] }, "invalid-config", "has the added token"],
    [{ model: MODEL, added_tokens: {} }, "invalid-config", '"added_tokens"; expected a list'],
  ])("%j: %s, %s", (json, code, message) => {
    expect(() => parse(json)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
    );
    expect(() => parse(json)).toThrow('"m/tokenizer.json"');
  });
});
