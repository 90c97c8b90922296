import { describe, expect, test } from "vitest";
import { growth, LINEAR } from "../../../test/support/growth.ts";
import { PlannedDecoder, type IncrementalDecoderOptions, type TokenTable } from "./incremental-decoder.ts";
import { planBlenderbotSmall } from "./blenderbot-small.ts";
import { planDecoder } from "./decoder-plan.ts";

const LLAMA_2 = {
  type: "Sequence",
  decoders: [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    { type: "Strip", content: " ", start: 1, stop: 0 },
  ],
};
const BYTE_LEVEL = { type: "ByteLevel" };

/** A table of tokens whose ids are their places in a list. `<|end|>` is special. */
function table(tokens: readonly string[]): TokenTable {
  return {
    lookup(id) {
      const text = tokens[id];
      return text === undefined ? undefined : { text, special: text === "<|end|>" };
    },
  };
}

/** What each token gives, and what finish() gives. */
function pieces(decoder: unknown, tokens: readonly string[], options?: IncrementalDecoderOptions): string[] {
  const stream = new PlannedDecoder(planDecoder(decoder, "tokenizer.json"), table(tokens), options);
  return [...tokens.map((_, id) => stream.push(id)), stream.finish()];
}

const whole = (decoder: unknown, tokens: readonly string[]): string =>
  pieces(decoder, tokens, { afterPrompt: false }).join("");

/** GPT-2's byte alphabet, written down independently: what a tokenizer's vocabulary has for each byte. */
const BYTE_CHARACTERS = [..."ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞğĠ"]
  .concat([
    ..."!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
  ])
  .concat([..."ġĢģĤĥĦħĨĩĪīĬĭĮįİıĲĳĴĵĶķĸĹĺĻļĽľĿŀŁł"])
  .concat([
    ..."¡¢£¤¥¦§¨©ª«¬Ń®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
  ]);
const byteToken = (bytes: Iterable<number>): string =>
  Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]).join("");

/** A small deterministic generator (mulberry32), so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Cuts bytes into tokens of 1 to 4. */
function cut(bytes: Uint8Array, random: (below: number) => number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < bytes.length;) {
    const length = 1 + random(4);
    parts.push(bytes.subarray(i, i + length));
    i += length;
  }
  return parts;
}

/** A half of a surrogate pair that stands alone: with the u flag only such halves match. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const TEXT = "Zoë: 日本語 한국어 👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 \ufeff½\r\n";

describe("byte-level decoding", () => {
  test("the alphabet covers all bytes", () => {
    expect(new Set(BYTE_CHARACTERS).size).toBe(256);
    const ascii = byteToken(Array.from({ length: 128 }, (_, byte) => byte));
    expect(whole(BYTE_LEVEL, [ascii])).toBe(
      String.fromCharCode(...Array.from({ length: 128 }, (_, byte) => byte)),
    );
  });

  test("a character comes with its last byte, whole", () => {
    const bytes = new TextEncoder().encode("a🙂é");
    expect(
      pieces(
        BYTE_LEVEL,
        Array.from(bytes, (byte) => byteToken([byte])),
      ),
    ).toEqual(["a", "", "", "", "🙂", "", "é", ""]);
  });

  test("an unfinished character becomes U+FFFD where the text or the run of bytes ends", () => {
    expect(pieces(BYTE_LEVEL, ["Ġa", byteToken([0xf0, 0x9f])])).toEqual([" a", "", "\ufffd"]);
    expect(pieces(BYTE_LEVEL, [byteToken([0xe2, 0x82]), "<|x|>", byteToken([0xac])])).toEqual([
      "",
      "\ufffd<|x|>",
      "\ufffd",
      "",
    ]);
  });

  test("a text that is cut ends before a character whose bytes are not all there", () => {
    const cut = (tokens: string[]): string => {
      const stream = new PlannedDecoder(planDecoder(BYTE_LEVEL, "tokenizer.json"), table(tokens));
      return tokens.map((_, id) => stream.push(id)).join("") + stream.finish(true);
    };
    expect(cut(["Ġa", byteToken([0xf0, 0x9f])])).toBe(" a");
    expect(cut(["Ġa", byteToken([0xff]), byteToken([0xe2, 0x82])])).toBe(" a\ufffd");
    expect(cut(["Ġa", byteToken([0xe2, 0x82]), byteToken([0xac])])).toBe(" a€");
  });

  test("a special token is left out and does not separate bytes", () => {
    expect(whole(BYTE_LEVEL, [byteToken([0xc3]), "<|end|>", byteToken([0xa9])])).toBe("é");
    expect(pieces(BYTE_LEVEL, ["a", "<|end|>", "b"], { skipSpecialTokens: false })).toEqual([
      "a",
      "<|end|>",
      "b",
      "",
    ]);
  });

  test("a token outside the byte alphabet stands for itself", () => {
    expect(whole(BYTE_LEVEL, ["Ġa", "日本", "Ġb"])).toBe(" a日本 b"); // what tokenizers 0.23.2 gives
  });

  test("random cuts of text and of random bytes: the parts joined are the whole, and no half character", () => {
    const random = generator(11);
    const oracle = new TextDecoder("utf-8", { ignoreBOM: true });
    const encoded = new TextEncoder().encode(TEXT);
    // These are lead and continuation bytes, so that invalid runs of all kinds come up.
    const suspects = [
      0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xe2, 0xed, 0xa0, 0xef, 0xbb, 0xf0, 0x9f, 0xf4, 0x90, 0xff,
    ];
    for (let round = 0; round < 2000; round++) {
      const valid = round % 2 === 0;
      const bytes = valid
        ? encoded
        : Uint8Array.from({ length: random(24) }, () => suspects[random(16)] ?? 0);
      const tokens = cut(bytes, random).map(byteToken);
      const parts = pieces(BYTE_LEVEL, tokens);
      expect(parts.join(""), JSON.stringify({ round, tokens })).toBe(oracle.decode(bytes));
      for (const part of parts) {
        expect(part).not.toMatch(LONE_SURROGATE);
      }
      if (valid) {
        expect(parts.join("")).not.toContain("\ufffd");
      }
    }
  });

  test("the time grows as the number of tokens does", () => {
    const texts = Array.from({ length: 1000 }, (_, i) => `日${i}`);
    const tokens = table(texts.map((text) => byteToken(new TextEncoder().encode(text))));
    const decode = (count: number): void => {
      const stream = new PlannedDecoder(planDecoder(BYTE_LEVEL, "tokenizer.json"), tokens);
      let length = 0;
      let expected = 0;
      for (let i = 0; i < count; i++) {
        length += stream.push(i % 1000).length;
        expected += texts[i % 1000].length;
      }
      expect(length).toBe(expected);
    };
    expect(growth(decode, 10_000)).toBeLessThan(LINEAR);
  });
});

describe("SentencePiece-style decoding (byte fallback)", () => {
  test("equals tokenizers 0.23.2", () => {
    const cases: [string[], string][] = [
      [["▁", "▁", "▁hello"], "  hello"],
      [["▁", "h"], "h"],
      [["▁hello", "<0xC3>", "<0xA9>", "▁world"], "helloé world"],
      [["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"], "🙂"],
      [["<|end|>", "▁hello", "<|end|>", "▁world"], "hello world"],
    ];
    for (const [tokens, text] of cases) {
      expect(whole(LLAMA_2, tokens)).toBe(text);
    }
  });

  test("after a prompt the first space stays", () => {
    expect(pieces(LLAMA_2, ["▁hello", "▁world"])).toEqual([" hello", " world", ""]);
    expect(pieces(LLAMA_2, ["▁hello", "▁world"], { afterPrompt: false })).toEqual(["hello", " world", ""]);
  });

  test("characters come whole; what is valid in a run with invalid bytes stays", () => {
    expect(pieces(LLAMA_2, ["<0xC3>", "<0xA9>", "<0xE6>", "<0x97>", "o"])).toEqual([
      "",
      "é",
      "",
      "",
      "\ufffdo",
      "",
    ]);
    expect(pieces(LLAMA_2, ["<0xE6>", "<0x97>"])).toEqual(["", "", "\ufffd"]);
  });

  test("only two hexadecimal digits make a byte", () => {
    expect(whole(LLAMA_2, ["<0x4G>", "<0x41>", "<0x041>"])).toBe("<0x4G>A<0x041>");
  });
});

describe("other decoders", () => {
  test("Metaspace drops the spaces of the first token, unless encoding adds none", () => {
    const tokens = ["▁▁a▁c", "▁b"];
    expect(whole({ type: "Metaspace" }, tokens)).toBe("ac b");
    expect(whole({ type: "Metaspace", replacement: "▁", prepend_scheme: "never" }, tokens)).toBe("  a c b");
    expect(pieces({ type: "Metaspace" }, tokens).join("")).toBe("  a c b");
  });

  test("Strip takes from both ends of the fused text", () => {
    const strip = {
      type: "Sequence",
      decoders: [{ type: "Fuse" }, { type: "Strip", content: " ", start: 2, stop: 2 }],
    };
    expect(whole(strip, ["  ", " a", " b  ", "  "])).toBe(" a b  ");
    expect(whole(strip, ["a", " "])).toBe("a");
    expect(whole(strip, ["   x   "])).toBe(" x ");
    expect(pieces(strip, ["a", " ", " ", " ", "b", " "])).toEqual(["a", "", "", " ", "  b", "", ""]);
  });

  test("Strip and Replace by a regular expression change tokens by themselves before they are fused", () => {
    const strip = { type: "Strip", content: "_", start: 1, stop: 0 };
    const replace = { type: "Replace", pattern: { Regex: "[0-9]+" }, content: "#" };
    expect(whole({ type: "Sequence", decoders: [strip, replace] }, ["_a", "b_12", "__c3"])).toBe("ab_#_c#");
  });

  test("without a decoder tokens are words", () => {
    expect(whole(null, ["h", "e", "<|end|>", "ll"])).toBe("h e ll");
    expect(pieces(null, ["a", "b"])).toEqual([" a", " b", ""]);
  });

  test("what is not supported or malformed is refused by name", () => {
    const plan = (config: unknown) => () => planDecoder(config, "x/tokenizer.json");
    expect(plan({ type: "CTC" })).toThrow('"x/tokenizer.json" has the decoder CTC; supported are');
    expect(plan({ type: "Sequence", decoders: [{ type: "Fuse" }, { type: "ByteFallback" }] })).toThrow(
      "has the decoder Fuse, ByteFallback;",
    );
    expect(plan({ type: "Strip", content: "  ", start: 1, stop: 0 })).toThrow(
      'the decoder "Strip" has "  " as "content"; expected one character',
    );
    expect(plan({ type: "Replace", content: "x" })).toThrow('has nothing as "pattern"; expected an object');
    expect(plan("ByteLevel")).toThrow('has "ByteLevel" as decoder; expected an object with a "type"');
  });
});

describe("Blenderbot small's decoding", () => {
  const CLEANED_UP = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];

  /** What transformers does, word for word: `convert_tokens_to_string`, then `clean_up_tokenization`. */
  function reference(tokens: readonly string[], cleanUp: boolean): string {
    let text = tokens
      .join(" ")
      .replaceAll("@@ ", "")
      .replace(/^ +| +$/g, "");
    if (cleanUp) {
      for (const from of CLEANED_UP) {
        text = text.replaceAll(from, () => from.trim());
      }
    }
    return text;
  }

  function stream(
    tokens: readonly string[],
    cleanUp: boolean,
    options?: IncrementalDecoderOptions,
  ): string[] {
    const decoder = new PlannedDecoder(planBlenderbotSmall(cleanUp), table(tokens), options);
    return [...tokens.map((_, id) => decoder.push(id)), decoder.finish()];
  }

  test("token by token equals the whole, for random tokens that overlap", () => {
    const random = generator(5);
    const parts = [
      "a",
      "b@@",
      "@@",
      "@",
      "@@@",
      "@@@@",
      "'",
      "'s",
      "n't",
      "n",
      "'v@@",
      "e",
      ".",
      ",",
      "?",
      "' ",
      " ",
      "",
    ];
    for (let round = 0; round < 4000; round++) {
      const tokens = Array.from({ length: random(9) }, () => parts[random(parts.length)] ?? "");
      for (const cleanUp of [false, true]) {
        const text = stream(tokens, cleanUp, { afterPrompt: false }).join("");
        expect(text, JSON.stringify({ tokens, cleanUp })).toBe(reference(tokens, cleanUp));
      }
    }
  });

  test("text comes as soon as it is certain", () => {
    expect(stream(["it", "is@@", "n't", ".", "no@@"], false, { afterPrompt: false })).toEqual([
      "it",
      " is",
      "n't",
      " .",
      " no",
      "@@",
    ]);
    expect(stream(["hel@@", "lo"], false)).toEqual([" hel", "lo", ""]);
  });
});

test("a decoder that has finished takes no more tokens", () => {
  const stream = new PlannedDecoder(planDecoder(BYTE_LEVEL, "tokenizer.json"), table(["a"]));
  stream.push(0);
  expect(stream.finish()).toBe("");
  expect(() => stream.push(0)).toThrow("after finish()");
  expect(stream.finish()).toBe("");
});
