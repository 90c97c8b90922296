/** Unigram models: what is missing or wrong, and how long they take. Ids are compared in test/tokenizer-parts.test.ts. */
import { describe, expect, test } from "vitest";
import { runAtOnce } from "../../base/async/slices.ts";
import { buildTokenizer, type BuiltTokenizer } from "./build.ts";
import { PrecompiledNormalizer } from "./charsmap.ts";
import { parseDefinition } from "./definition.ts";
import { childOf, pieceTrie } from "./piece-trie.ts";
import { NO_ADDITIONS } from "./token-additions.ts";

const MODEL = {
  type: "Unigram",
  unk_id: 0,
  vocab: [
    ["<unk>", 0],
    ["a", -1],
    ["ab", -1.5],
    ["b", -3],
  ],
};

function build(json: unknown): Promise<BuiltTokenizer> {
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  const parts = async function* () {
    await Promise.resolve();
    yield* parseDefinition(bytes, "m/tokenizer.json", NO_ADDITIONS);
  };
  return buildTokenizer(parts(), "m/tokenizer.json");
}

function encode({ encoder }: BuiltTokenizer, text: string): { ids: number[]; pauses: number } {
  const steps = encoder.encode(text, { addSpecialTokens: true, most: Infinity });
  for (let pauses = 0; ; pauses++) {
    const { done, value } = steps.next();
    if (done === true) {
      return { ids: value, pauses };
    }
  }
}

describe("pieces", () => {
  test("the likeliest are taken, and unknown ones in a row are one", async () => {
    const built = await build({ model: MODEL });
    expect(encode(built, "aabb").ids).toEqual([1, 2, 3]);
    expect(encode(built, "xyaz").ids).toEqual([0, 1, 0]);
    expect(encode(built, "").ids).toEqual([]);
    expect([built.vocabSize, built.tokens[2], built.idOf("ab")]).toEqual([4, "ab", 2]);
  });

  test("a piece that is listed twice has its last id, and each id its piece", async () => {
    const built = await build({ model: { ...MODEL, vocab: [...MODEL.vocab, ["a", -0.5]] } });
    expect(encode(built, "a").ids).toEqual([4]);
    expect([built.tokens[1], built.tokens[4], built.vocabSize]).toEqual(["a", "a", 5]);
  });

  test("without an unknown piece other characters are an error", async () => {
    const built = await build({ model: { ...MODEL, unk_id: null } });
    expect(encode(built, "ab").ids).toEqual([2]);
    expect(() => encode(built, "ax")).toThrow("has no token for unknown characters");
  });

  test.each([
    [{ vocab: { a: 0 } }, "invalid-config", "expected a list"],
    [{ vocab: [["a"]] }, "invalid-config", "as piece 0; expected a text and its score"],
    [{ vocab: [["a", "0"]] }, "invalid-config", "as piece 0"],
    [{ vocab: [["\ud800", 0]] }, "invalid-config", "as piece 0"],
    [{ vocab: [["a".repeat(2000), 0]] }, "unsupported", "has a piece of 2000 characters (0)"],
    [{ unk_id: 4 }, "invalid-config", 'has 4 as "model.unk_id"; expected the id of one of 4 pieces'],
    [{ byte_fallback: 1 }, "invalid-config", '"model.byte_fallback"; expected a boolean'],
  ])("%o is refused", async (changes, code, message) => {
    const building = build({ model: { ...MODEL, ...changes } });
    await expect(building).rejects.toMatchObject({ code });
    await expect(building).rejects.toThrow(message);
  });

  test("the trie has every piece and nothing else", () => {
    const pieces = ["ab", "abc", "b", "", "日本", "🙂"];
    const trie = pieceTrie(pieces, new Float64Array(pieces.length));
    const find = (text: string): number => {
      let node = 0;
      for (let i = 0; i < text.length; i++) {
        node = childOf(trie, node, text.charCodeAt(i));
        if (node === 0) {
          return -1;
        }
      }
      return trie.ids[node] ?? -1;
    };
    expect(["ab", "abc", "b", "", "日本", "🙂", "a", "ba", "日"].map(find)).toEqual([
      0, 1, 2, -1, 4, 5, -1, -1, -1,
    ]);
  });
});

const CASES: readonly (readonly [string, string])[] = [
  ["one letter", "a"],
  ["spaces", " "],
  ["emoji", "🙂"],
  ["marks", "e\u0301"],
  ["words", "ab "],
];

describe("time in proportion to the text", () => {
  test.each(CASES)("%s", async (_name, unit) => {
    // A chain of pieces, each of which is looked at from each position.
    const runs = Array.from({ length: 16 }, (_, i) => [unit.repeat(i + 1), -2 - i / 7]);
    const built = await build({
      model: { ...MODEL, vocab: [...MODEL.vocab, ...runs] },
      pre_tokenizer: { type: "Metaspace", prepend_scheme: "always" },
    });
    const [once, twice] = [100_000, 200_000].map((length) =>
      encode(built, unit.repeat(length / unit.length)),
    );
    expect(once?.pauses).toBeGreaterThan(0);
    expect(twice?.pauses).toBeGreaterThan(1.5 * (once?.pauses ?? 0));
    expect(twice?.pauses).toBeLessThan(2.5 * (once?.pauses ?? 0));
  });
});

/** The bytes of a charsmap: the trie's size, its units, and the replacements. */
const charsmap = (units: readonly number[], replacements: string): string =>
  Buffer.concat([
    Buffer.from(Uint32Array.of(4 * units.length, ...units).buffer),
    Buffer.from(replacements),
  ]).toString("base64");

/** A trie in which the root leads to `x` at unit 0x79 ^ 1, whose replacement is at `place`. */
function trieOfX(place: number): number[] {
  const units = new Array<number>(256).fill(0);
  units[0] = 1 << 10;
  units[1 ^ 0x78] = 0x78 | (1 << 8) | ((1 ^ 0x78 ^ 2) << 10);
  units[2] = (place | (1 << 31)) >>> 0;
  return units;
}

describe("charsmaps", () => {
  test("what begins with an entry is replaced whole, in a grapheme of less than six bytes", () => {
    const normalizer = new PrecompiledNormalizer(charsmap(trieOfX(2), "-\0XX\0"));
    const apply = (text: string): string => runAtOnce(normalizer.apply(text));
    expect(apply("axbx x\u0301x\u0301\u0301\u0301")).toBe("aXXbXX XXXX\u0301\u0301\u0301");
    expect(apply("x\u200d")).toBe("XX");
    expect(apply("x🏽y")).toBe("XXy"); // an emoji's modifier
    expect(apply("\u0600x")).toBe("\u0600XX"); // begins with another character, and is taken apart
    expect(normalizer.growth).toBe(2);
  });

  test.each([
    ["not base64", "!!!!"],
    ["nothing", ""],
    ["a trie of more bytes than there are", Buffer.from(Uint32Array.of(400, 1).buffer).toString("base64")],
    [
      "replacements that are not UTF-8",
      Buffer.concat([Buffer.from(charsmap(trieOfX(0), ""), "base64"), Buffer.of(0xff)]).toString("base64"),
    ],
    ["a trie that leads behind its end", charsmap([900 << 10], "-\0")],
  ])("%s is refused", async (_name, precompiled) => {
    const normalizer = { type: "Precompiled", precompiled_charsmap: precompiled };
    const building = build({ model: MODEL, normalizer });
    await expect(building).rejects.toMatchObject({ code: "invalid-config" });
    await expect(building).rejects.toThrow('"precompiled_charsmap" that is no such table');
  });

  test.each(CASES)("time in proportion to the text: %s", (_name, unit) => {
    const normalizer = new PrecompiledNormalizer(charsmap(trieOfX(0), "X\0"));
    const pauses = (length: number): number => {
      const steps = normalizer.apply(unit.repeat(length / unit.length));
      let count = 0;
      while (steps.next().done !== true) {
        count++;
      }
      return count;
    };
    const [once, twice] = [pauses(100_000), pauses(200_000)];
    expect(once).toBeGreaterThanOrEqual(5);
    expect(twice).toBeGreaterThanOrEqual(2 * once - 1);
    expect(twice).toBeLessThanOrEqual(2 * once + 2);
  });
});
