import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { buildTokenizer } from "./build.ts";
import { parseDefinition } from "./definition.ts";
import { Tokenizer } from "./library.ts";
import { readDefinition } from "./read-definition.ts";

const TALES = fileURLToPath(new URL("../../../models/tales/tokenizer.json", import.meta.url));
const SOURCE = { kind: "tokenizer.json", file: TALES, specialNames: [] } as const;
const TEXTS = [
  "Once upon a time",
  "",
  " <|end_of_text|>a<|begin_of_text|> ",
  "Zoë’s 日本語 🙂\n\n\t12345",
  "\u0000\ud800",
];

describe("buildTokenizer", () => {
  test("filled in slices, and made by the library alone: equal", async () => {
    const { tokenizer, vocabSize } = await buildTokenizer(readDefinition(SOURCE), TALES);
    const plain = new Tokenizer(JSON.parse(await readFile(TALES, "utf8")) as object, {});
    for (let id = 0; id <= vocabSize; id++) {
      const token = plain.id_to_token(id);
      expect(tokenizer.id_to_token(id)).toBe(token);
      if (token !== undefined) {
        expect(tokenizer.token_to_id(token)).toBe(plain.token_to_id(token));
      }
    }
    for (const text of TEXTS) {
      for (const add_special_tokens of [true, false]) {
        const options = { add_special_tokens };
        expect(tokenizer.encode(text, options)).toEqual(plain.encode(text, options));
      }
    }
  });

  test("an unknown token, and added tokens that differ from the vocabulary, are as in the library", async () => {
    const json = {
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      added_tokens: [
        { id: 5, content: "ab", special: true },
        { id: 0, content: "zero", special: false },
      ],
      model: {
        type: "BPE",
        unk_token: "?",
        fuse_unk: true,
        vocab: { "?": 3, a: 0, b: 1, ab: 2, __proto__x: 4 },
        merges: [["a", "b"]],
      },
    };
    // "__proto__" is a key that JSON allows and object literals do not.
    const bytes = new TextEncoder().encode(JSON.stringify(json).replace("__proto__x", "__proto__"));
    const plain = new Tokenizer(JSON.parse(new TextDecoder().decode(bytes)) as object, {});
    const parts = async function* () {
      await Promise.resolve();
      yield* parseDefinition(bytes, "tokenizer.json", []);
    };
    const { tokenizer } = await buildTokenizer(parts(), "tokenizer.json");
    for (let id = 0; id < 7; id++) {
      expect(tokenizer.id_to_token(id), String(id)).toBe(plain.id_to_token(id));
    }
    for (const text of ["xyab", "baxzeroxx", "__proto__", "aabb"]) {
      const options = { add_special_tokens: true };
      expect(tokenizer.encode(text, options)).toEqual(plain.encode(text, options));
    }
  });

  test("parts that the library does not know are refused with the file's name", async () => {
    const bytes = new TextEncoder().encode(
      JSON.stringify({ normalizer: { type: "Rot13" }, model: { type: "BPE", vocab: {}, merges: [] } }),
    );
    const parts = async function* () {
      await Promise.resolve();
      yield* parseDefinition(bytes, "m/tokenizer.json", []);
    };
    await expect(buildTokenizer(parts(), "m/tokenizer.json")).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(
        '"m/tokenizer.json" cannot be used: Unknown Normalizer type: Rot13',
      ) as string,
    });
  });
});
