/**
 * Tokenizers of folders with vocab.json and merges.txt, against transformers 5 (test/fixtures/tokenizers, made by the
 * script there): our own small vocabularies for every class, and GPT-2's where it is present.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasTokenizer, loadTokenizer, type Tokenizer } from "../src/models/tokenizer/tokenizer.ts";
import { sharedPath } from "./support/shared.ts";

const FIXTURES = fileURLToPath(new URL("fixtures/tokenizers", import.meta.url));
const GPT2 = sharedPath("tokenizers/gpt2");
const OTHER_TEXTS = sharedPath("smollm3/tokenizer_cases.json");

type Files = Record<string, string | object>;

interface Cases {
  texts: string[];
  folders: {
    name: string;
    vocabulary: string;
    files: Files;
    class: string;
    special: number[];
    /** Cases of decoding: ids, their text with special tokens, their text without. */
    rows: [number[], string, string][];
  }[];
}

const cases = await readJson<Cases>(join(FIXTURES, "cases.json"));

let scratch = "";
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "model-compose-vocabulary-"));
});
afterAll(() => rm(scratch, { recursive: true }));

async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, "utf8")) as T;
}

/** Makes a model folder: a vocabulary and these files, which may replace parts of it. */
async function folder(files: Files, vocabulary = join(FIXTURES, "byte-level")): Promise<string> {
  const path = await mkdtemp(join(scratch, "folder-"));
  for (const name of ["vocab.json", "merges.txt"]) {
    await cp(join(vocabulary, name), join(path, name));
  }
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(path, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return path;
}

function decodeInSteps(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens: boolean): string {
  const decoder = tokenizer.incrementalDecoder({ skipSpecialTokens, afterPrompt: false });
  return ids.map((id) => decoder.push(id)).join("") + decoder.finish();
}

describe("each class, as transformers", () => {
  test.each(cases.folders)("$name: $class", async ({ vocabulary, files, special, rows }) => {
    const path = await folder(files, join(FIXTURES, vocabulary));
    expect(await hasTokenizer(path)).toBe(true);
    const tokenizer = await loadTokenizer(path);
    expect(tokenizer.specialTokenIds).toEqual(new Set(special));
    expect(rows.length).toBe(cases.texts.length);
    rows.forEach(([ids, decoded, skipped], i) => {
      const text = cases.texts[i] ?? "";
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false }), JSON.stringify(text)).toBe(decoded);
      expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(skipped);
      expect(decodeInSteps(tokenizer, ids, false)).toBe(decoded);
      expect(decodeInSteps(tokenizer, ids, true)).toBe(skipped);
    });
  });
});

describe("which class", () => {
  const BLENDERBOT = { model_type: "blenderbot" };

  test("tokenizer_config.json, then config.json's class, then its model type", async () => {
    const bart = { tokenizer_class: "BartTokenizerFast" };
    const gpt2 = { ...BLENDERBOT, tokenizer_class: "GPT2Tokenizer" };
    const ends = async (files: Files) => {
      const ids = (await loadTokenizer(await folder(files))).encode("a");
      return [ids[0] === 1, ids.at(-1) === 2];
    };
    expect(await ends({ "tokenizer_config.json": bart, "config.json": gpt2 })).toEqual([true, true]);
    expect(await ends({ "config.json": gpt2 })).toEqual([false, false]);
    expect(await ends({ "config.json": BLENDERBOT })).toEqual([false, true]);
    expect(await ends({ "tokenizer_config.json": {}, "config.json": BLENDERBOT })).toEqual([false, true]);
  });

  test("flags and tokens of the files win over the class", async () => {
    const encode = async (config: object, special: object = {}) => {
      const files = {
        "config.json": BLENDERBOT,
        "tokenizer_config.json": config,
        "special_tokens_map.json": special,
      };
      return (await loadTokenizer(await folder(files))).encode("a");
    };
    expect(await encode({})).toEqual([261, 2]);
    expect(await encode({ add_eos_token: false, add_prefix_space: false })).toEqual([68]);
    expect(await encode({ add_bos_token: true })).toEqual([1, 261, 2]);
    expect(await encode({ eos_token: "<unk>" })).toEqual([261, 3]);
    expect(await encode({ eos_token: "<unk>" }, { eos_token: { content: "<pad>" } })).toEqual([261, 0]);
    expect(await encode({ eos_token: null })).toEqual([261]);
  });

  test("a class that is not known without its tokenizer.json is named, and its file", async () => {
    const path = await folder({ "tokenizer_config.json": { tokenizer_class: "CTRLTokenizer" } });
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(
        `"${join(path, "tokenizer_config.json")}" names the tokenizer class "CTRLTokenizer"`,
      ) as string,
    });
    const other = await folder({ "config.json": { model_type: "xlnet" } });
    await expect(loadTokenizer(other)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining('(model_type is "xlnet")') as string,
    });
    await expect(loadTokenizer(await folder({}))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("(model_type is nothing)") as string,
    });
  });

  test("tokenizer.json comes first; half of the two files is no tokenizer", async () => {
    const model = { type: "BPE", vocab: { a: 7 }, merges: [] };
    const both = await folder({ "tokenizer.json": { model }, "config.json": BLENDERBOT });
    expect((await loadTokenizer(both)).encode("a")).toEqual([7]);
    const half = await folder({ "config.json": BLENDERBOT });
    await rm(join(half, "merges.txt"));
    expect(await hasTokenizer(half)).toBe(false);
    await expect(loadTokenizer(half)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("vocab.json with merges.txt") as string,
    });
  });
});

describe("what the files may hold", () => {
  const GPT2_CONFIG = { "config.json": { model_type: "gpt2" } };
  const SMALL = { "config.json": { model_type: "blenderbot-small" } };
  const ADDED = "added_tokens.json";
  const CONFIG = "tokenizer_config.json";

  test("carriage returns, empty lines and no version line change nothing", async () => {
    const merges = await readFile(join(FIXTURES, "byte-level", "merges.txt"), "utf8");
    const plain = await loadTokenizer(await folder(GPT2_CONFIG));
    for (const changed of [
      merges.replaceAll("\n", "\r\n"),
      merges.replace(/^#version.*\n/, ""),
      `\ufeff${merges}\n\n`,
      merges.trimEnd(),
    ]) {
      const tokenizer = await loadTokenizer(await folder({ ...GPT2_CONFIG, "merges.txt": changed }));
      for (const text of cases.texts) {
        expect(tokenizer.encode(text)).toEqual(plain.encode(text));
      }
    }
  });

  test("names of object prototypes, holes and large ids are ordinary tokens", async () => {
    const vocab = '{"a": 0, "b": 5, "ab": 4000000, "__proto__": 3, "constructor": 4, "_": 7, "<s>": 2}';
    const files = {
      ...GPT2_CONFIG,
      "vocab.json": vocab,
      "merges.txt": "a b\n",
      [CONFIG]: { bos_token: "__proto__" },
    };
    const tokenizer = await loadTokenizer(await folder(files));
    expect(tokenizer.vocabSize).toBe(4000001);
    expect(tokenizer.encode("ab__proto__a")).toEqual([4000000, 3, 0]);
    expect(tokenizer.decode([4000000, 1, 3, 6, 4], { skipSpecialTokens: false })).toBe(
      "ab__proto__constructor",
    );
    expect(tokenizer.idOf("constructor")).toBe(4);
    expect(tokenizer.idOf("toString")).toBeUndefined();
  });

  test("ids that the model has beyond the tokens have no text; others are errors", async () => {
    const config = { "config.json": { model_type: "codegen", vocab_size: 512 } };
    const tokenizer = await loadTokenizer(await folder(config));
    expect(tokenizer.vocabSize).toBe(422);
    const decoder = tokenizer.incrementalDecoder();
    expect([68, 422, 511, 69].map((id) => decoder.push(id))).toEqual(["a", "", "", "b"]);
    expect(() => decoder.push(512)).toThrow(
      "Token id 512 is not in the vocabulary; expected an integer from 0 to 511.",
    );
    expect(() => tokenizer.decode([-1])).toThrow("Token id -1");
  });

  test("a special token without an id is ordinary text", async () => {
    const named = { ...GPT2_CONFIG, [CONFIG]: { pad_token: "[PAD]" } };
    const tokenizer = await loadTokenizer(await folder(named));
    expect(tokenizer.vocabSize).toBe(422);
    expect(tokenizer.decode(tokenizer.encode("a[PAD]"))).toBe("a[PAD]");
  });

  test.each<[string, Files, string, string]>([
    ["no JSON", { "vocab.json": "{" }, "vocab.json", "is not valid JSON"],
    ["no object", { "vocab.json": "[]" }, "vocab.json", "expected a JSON object"],
    ["an id that is text", { "vocab.json": { a: "0" } }, "vocab.json", 'gives the token "a" the id "0"'],
    ["an id below 0", { "vocab.json": { a: -1 } }, "vocab.json", 'gives the token "a" the id -1'],
    ["an id with a fraction", { "vocab.json": { a: 0.5 } }, "vocab.json", 'gives the token "a" the id 0.5'],
    ["an id that is huge", { "vocab.json": { a: 2 ** 22 } }, "vocab.json", 'the token "a" the id 4194304'],
    [
      "an id that is nothing",
      { "vocab.json": { __proto__x: null } },
      "vocab.json",
      '"__proto__x" the id null',
    ],
    [
      "one part",
      { "merges.txt": "#version: 0.2\nab\n" },
      "merges.txt",
      'has "ab" in line 2; expected two tokens',
    ],
    [
      "three parts",
      { "merges.txt": "h e\n\na b c" },
      "merges.txt",
      'has "a b c" in line 3; expected two tokens',
    ],
    ["two spaces", { "merges.txt": "a  b" }, "merges.txt", 'has "a  b" in line 1; expected two tokens'],
    [
      "an unknown part",
      { "merges.txt": "h e\nh 日" },
      "merges.txt",
      '"h" and "日" in line 2, but "日" is not',
    ],
    [
      "an unknown result",
      { "merges.txt": "q z" },
      "merges.txt",
      '"q" and "z" in line 1, but "qz" is not in the vocab',
    ],
    [
      "an added id of another",
      { [ADDED]: { "<x>": 5 } },
      ADDED,
      'gives the token "<x>" the id 5, which is that of',
    ],
    [
      "an added id twice",
      { [ADDED]: { "<x>": 500, "<y>": 500 } },
      ADDED,
      '"<y>" the id 500, which is that of "<x>"',
    ],
    [
      "an added token of another id",
      { [ADDED]: { "<s>": 500 } },
      ADDED,
      '"<s>" the id 500, but its id in the vocab',
    ],
    ["an added id that is text", { [ADDED]: { "<x>": "500" } }, ADDED, 'gives the token "<x>" the id "500"'],
    ["an empty added token", { [ADDED]: { "": 500 } }, ADDED, 'gives the token "" the id 500'],
    [
      "a list of added tokens",
      { [CONFIG]: { added_tokens_decoder: [] } },
      CONFIG,
      '[] as "added_tokens_decoder"',
    ],
    ["a name as id", { [CONFIG]: { added_tokens_decoder: { x: "<x>" } } }, CONFIG, 'has the key "x" in'],
    [
      "an added number",
      { [CONFIG]: { added_tokens_decoder: { 500: 3 } } },
      CONFIG,
      'has 3 in "added_tokens_decoder"',
    ],
    ["a class that is a number", { [CONFIG]: { tokenizer_class: 5 } }, CONFIG, 'has 5 as "tokenizer_class"'],
    ["a token that is a number", { [CONFIG]: { eos_token: 5 } }, CONFIG, 'has 5 in "eos_token"'],
    [
      "a flag that is text",
      { [CONFIG]: { add_prefix_space: "no" } },
      CONFIG,
      'has "no" as "add_prefix_space"',
    ],
    [
      "single_word",
      { [CONFIG]: { eos_token: { content: "x", single_word: true } } },
      CONFIG,
      'sets "single_word"',
    ],
    [
      "no end of text",
      { "config.json": { model_type: "bart" }, "vocab.json": { a: 0 }, "merges.txt": "" },
      "vocab.json",
      'has no token "<s>", which BartTokenizer needs',
    ],
    [
      "no unknown token",
      { ...SMALL, "vocab.json": { a: 0 }, "merges.txt": "" },
      "vocab.json",
      'has no token "__unk__"',
    ],
  ])("refused: %s", async (_name, files, file, message) => {
    const path = await folder({ ...GPT2_CONFIG, ...files });
    const error: unknown = await loadTokenizer(path).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: "ModelComposeError",
      code: message.includes("single_word") ? "unsupported" : "invalid-config",
      message: expect.stringContaining(message) as string,
    });
    expect((error as Error).message).toContain(`"${join(path, file)}"`);
  });

  test("merges that are not UTF-8", async () => {
    const path = await folder(GPT2_CONFIG);
    await writeFile(join(path, "merges.txt"), Uint8Array.of(0x61, 0x20, 0xff));
    await expect(loadTokenizer(path)).rejects.toThrow(`"${join(path, "merges.txt")}" is not valid UTF-8.`);
  });

  test.each([
    ["GPT-2", GPT2_CONFIG, "byte-level"],
    ["Blenderbot small", SMALL, "blenderbot-small"],
  ])("%s: long words, long runs and many words take linear time", async (_name, files, vocabulary) => {
    const tokenizer = await loadTokenizer(await folder(files, join(FIXTURES, vocabulary)));
    for (const text of ["the", " ", "\n", "x.", "the frog "].map((part) => part.repeat(50_000))) {
      // If the work grew with the square, this would not end within the time that a test has.
      expect(
        tokenizer.decode(tokenizer.encode(text)).length,
        JSON.stringify(text.slice(0, 9)),
      ).toBeGreaterThanOrEqual(0);
    }
  });
});

describe.skipIf(GPT2 === undefined)("GPT-2's vocabulary (skipped without shared/tokenizers/gpt2)", () => {
  interface Gpt2Cases {
    texts: string[];
    ids: number[][];
    codegenIds: number[][];
    /** Ids of the texts in shared/smollm3/tokenizer_cases.json. */
    otherIds: number[][];
  }
  let expected: Gpt2Cases;
  beforeAll(async () => {
    expected = await readJson<Gpt2Cases>(join(FIXTURES, "gpt2-cases.json"));
  });

  function check(tokenizer: Tokenizer, texts: readonly string[], ids: readonly number[][]): void {
    expect(texts.length).toBe(ids.length);
    texts.forEach((text, i) => {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
      expect(tokenizer.decode(ids[i] ?? [], { skipSpecialTokens: false })).toBe(text);
    });
  }

  test("DialoGPT, GPT-Neo: all texts as transformers, loaded in a worker while the event loop turns", async () => {
    let turns = 0;
    const beat = setInterval(() => turns++, 0);
    const tokenizer = await loadTokenizer(await folder({ "config.json": { model_type: "gpt_neo" } }, GPT2));
    clearInterval(beat);
    expect(turns).toBeGreaterThan(8); // one for each slice of the vocabulary, of which there are 13
    expect(tokenizer.vocabSize).toBe(50257);
    expect(tokenizer.specialTokenIds).toEqual(new Set([50256]));
    check(tokenizer, expected.texts, expected.ids);
  });

  test.skipIf(OTHER_TEXTS === undefined)("SmolLM3's texts (skipped without shared/smollm3)", async () => {
    const texts = (await readJson<{ text: string }[]>(OTHER_TEXTS ?? "")).map(({ text }) => text);
    const tokenizer = await loadTokenizer(await folder({ "config.json": { model_type: "gpt2" } }, GPT2));
    check(tokenizer, texts, expected.otherIds);
  });

  test("CodeGen: runs of spaces and tabs, listed in added_tokens.json or known by the class", async () => {
    const runs = Array.from({ length: 30 }, (_, i) => " ".repeat(31 - i)).concat(
      Array.from({ length: 8 }, (_, i) => "\t".repeat(9 - i)),
    );
    const added = Object.fromEntries(runs.map((run, i) => [run, 50257 + i]));
    const config = {
      "config.json": { model_type: "codegen", vocab_size: 51200, tokenizer_class: "GPT2Tokenizer" },
    };
    for (const files of [config, { ...config, "added_tokens.json": added }]) {
      const tokenizer = await loadTokenizer(await folder(files, GPT2));
      expect(tokenizer.vocabSize).toBe(50295);
      check(tokenizer, expected.texts, expected.codegenIds);
      expect(tokenizer.decode([50294, 50295, 51199, 50286])).toBe("\t\t  ");
    }
  });

  test("an error in the worker names the file and the entry", async () => {
    const path = await folder({ "config.json": { model_type: "gpt2" } }, GPT2);
    const merges = (await readFile(join(path, "merges.txt"), "utf8")).trimEnd().split("\n");
    await writeFile(join(path, "merges.txt"), `${merges.join("\n")}\nq\n`);
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining(
        `"${join(path, "merges.txt")}" has "q" in line ${merges.length + 1};`,
      ) as string,
    });
  });
});
