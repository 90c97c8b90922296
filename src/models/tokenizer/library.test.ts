/**
 * Checks the parts that the program reaches into of `@huggingface/tokenizers` (library.ts), and that it is pinned to
 * the version for which this holds. A newer version that changes any of it fails here, before a user has it.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { mergeKey } from "./definition.ts";
import {
  BPE,
  ByteLevelPreTokenizer,
  ReplaceDecoder,
  SequencePreTokenizer,
  StripDecoder,
  Tokenizer,
  type LibraryBpe,
} from "./library.ts";

function read(path: string): { version: string; dependencies: Record<string, string> } {
  return JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8")) as {
    version: string;
    dependencies: Record<string, string>;
  };
}

test("the library is pinned to what is installed", () => {
  const name = "@huggingface/tokenizers";
  expect(read("package.json").dependencies[name]).toBe(read(`node_modules/${name}/package.json`).version);
});

describe("a BPE model", () => {
  const config = { type: "BPE", ignore_merges: false, unk_token: null };
  const vocab = { a: 0, b: 1, ab: 2, aba: 3 };
  const merges = [
    ["a", "b"],
    ["ab", "a"],
  ] as const;
  const whole = new BPE({ ...config, vocab, merges });

  test("has its tables where they are filled here", () => {
    expect(whole.vocab).toEqual(Object.keys(vocab));
    expect(whole.tokens_to_ids).toEqual(new Map(Object.entries(vocab)));
    expect(whole.bpe_ranks).toEqual(
      new Map(merges.map(([left, right], rank) => [mergeKey(left, right), rank])),
    );
    expect(whole.unk_token_id).toBeUndefined();
    expect(new BPE({ ...config, unk_token: "b", vocab, merges }).unk_token_id).toBe(1);
  });

  test("that is filled afterwards equals one that was constructed whole", () => {
    const filled = new BPE({ ...config, vocab: {}, merges: [] });
    for (const [token, id] of Object.entries(vocab)) {
      filled.tokens_to_ids.set(token, id);
      filled.vocab[id] = token;
    }
    for (const [rank, [left, right]] of merges.entries()) {
      filled.bpe_ranks.set(mergeKey(left, right), rank);
    }
    const results = (model: LibraryBpe) => [model.encode(["abaabb", "ba", "ab"]), model.bpe("abaabb")];
    expect(results(filled)).toEqual(results(whole));
    expect(results(whole)).toEqual([
      ["aba", "ab", "b", "b", "a", "ab"],
      ["aba", "ab", "b"],
    ]);
  });
});

test("a tokenizer has its model and its pre-tokenizers, whose words are a pattern", () => {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
  const json = {
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [byteLevel] },
    post_processor: null,
    decoder: null,
    added_tokens: [{ id: 1, content: "b", special: false }],
    model: { type: "BPE", unk_token: null, vocab: { a: 0, b: 1 }, merges: [] },
  };
  const tokenizer = new Tokenizer(json, {});
  expect(tokenizer.model).toBeInstanceOf(BPE);
  expect(tokenizer.encode("aba", { add_special_tokens: true }).ids).toEqual([0, 1, 0]);
  expect([tokenizer.token_to_id("b"), tokenizer.id_to_token(1)]).toEqual([1, "b"]);
  const sequence = tokenizer.pre_tokenizer;
  expect(sequence).toBeInstanceOf(SequencePreTokenizer);
  const [inner] = sequence?.tokenizers ?? [];
  expect(inner).toBeInstanceOf(ByteLevelPreTokenizer);
  expect(inner?.pattern).toBeInstanceOf(RegExp);
});

test("decoders change a list of tokens", () => {
  const replace = new ReplaceDecoder({ type: "Replace", pattern: { String: "_" }, content: " " });
  expect(replace.decode_chain(["_a", "b_"])).toEqual([" a", "b "]);
  const strip = new StripDecoder({ type: "Strip", content: " ", start: 1, stop: 0 });
  expect(strip.decode_chain([" a", "b "])).toEqual(["a", "b "]);
});
