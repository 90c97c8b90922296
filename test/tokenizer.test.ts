/** The tokenizer on real files: the bundled model, SmolLM3 where it is present, and a SentencePiece-style one. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasTokenizer, loadTokenizer, type Tokenizer } from "../src/models/tokenizer/tokenizer.ts";
import { sharedPath } from "./support/shared.ts";

const TALES = fileURLToPath(new URL("../models/tales", import.meta.url));
const SMOLLM3 = sharedPath("smollm3");

let scratch = "";
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "model-compose-tokenizer-"));
});
afterAll(() => rm(scratch, { recursive: true }));

/** Makes a model folder with these files. */
async function folder(name: string, files: Record<string, string | object>): Promise<string> {
  const path = join(scratch, name);
  await mkdir(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(path, file), typeof content === "string" ? content : JSON.stringify(content));
  }
  return path;
}

function decodeInSteps(tokenizer: Tokenizer, ids: readonly number[]): string {
  const decoder = tokenizer.incrementalDecoder();
  return ids.map((id) => decoder.push(id)).join("") + decoder.finish();
}

interface Goldens {
  prompts: { prompt: string; input_ids: number[]; text: string; greedy: number[] }[];
}

describe("the bundled model", () => {
  let tokenizer: Tokenizer;
  let goldens: Goldens;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(TALES);
    goldens = JSON.parse(await readFile(join(TALES, "goldens.json"), "utf8")) as Goldens;
  });

  test("encodes and decodes as transformers", () => {
    expect(goldens.prompts.length).toBeGreaterThan(0);
    for (const { prompt, input_ids: ids } of goldens.prompts) {
      expect(tokenizer.encode(prompt)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(prompt);
    }
  });

  test("vocabulary and special tokens", () => {
    expect(tokenizer.vocabSize).toBe(2048);
    expect(tokenizer.specialTokenIds).toEqual(new Set([0, 1]));
    expect(tokenizer.idOf("<|end_of_text|>")).toBe(1);
    expect(tokenizer.idOf("no such token")).toBeUndefined();
    expect(tokenizer.encode("", { addSpecialTokens: false })).toEqual([]);
    expect(tokenizer.encode("")).toEqual([0]);
    expect(tokenizer.decode([])).toBe("");
  });

  test("text that spells a special token becomes that token", () => {
    const ids = tokenizer.encode("a<|end_of_text|>b", { addSpecialTokens: false });
    expect(ids).toContain(1);
    expect(tokenizer.decode(ids)).toBe("ab");
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe("a<|end_of_text|>b");
  });

  test("spaces before punctuation stay", () => {
    const text = "it 's here , is n't it ?";
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("any text comes back, at once and token by token", () => {
    const characters = [..."aé日🙂\u0301\u200d\ufeff\n\t 1,'Z"];
    let state = 1;
    for (let round = 0; round < 300; round++) {
      let text = "";
      for (let i = 0; i < round % 40; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        text += characters[(state >>> 16) % characters.length];
      }
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(decodeInSteps(tokenizer, ids)).toBe(text);
    }
  });

  test.each([[-1], [2048], [1.5], [NaN]])("decode refuses the id %d", (id) => {
    const error = {
      code: "invalid-argument",
      message: expect.stringContaining(`Token id ${id} is not`) as string,
    };
    expect(() => tokenizer.decode([3, id])).toThrow(expect.objectContaining(error));
    expect(() => tokenizer.incrementalDecoder().push(id)).toThrow(expect.objectContaining(error));
  });

  test("encodeAsync does what encode does, while the event loop turns", async () => {
    const text = "Zoë said: 日本語 🙂 <|end_of_text|> 12345 ".repeat(5000);
    let turns = 0;
    const beat = setInterval(() => turns++, 0);
    try {
      expect(await tokenizer.encodeAsync(text)).toEqual(tokenizer.encode(text));
    } finally {
      clearInterval(beat);
    }
    expect(turns).toBeGreaterThan(1);
    const plain = { addSpecialTokens: false };
    expect(await tokenizer.encodeAsync("a b", plain)).toEqual(tokenizer.encode("a b", plain));
  });

  test("encodeAsync stops at more ids than are wanted, and when it is aborted", async () => {
    const text = "Once upon a time ".repeat(20_000);
    const some = await tokenizer.encodeAsync(text, { most: 100 });
    expect(some.length).toBeGreaterThan(100);
    expect(some.length).toBeLessThan(200);
    expect(some).toEqual(tokenizer.encode(text).slice(0, some.length));
    const controller = new AbortController();
    const encoding = tokenizer.encodeAsync(text, { signal: controller.signal });
    setImmediate(() => {
      controller.abort("enough");
    });
    await expect(encoding).rejects.toMatchObject({ code: "aborted", cause: "enough" });
    await expect(tokenizer.encodeAsync(5 as unknown as string)).rejects.toThrow("to encode is 5; expected");
  });

  test("encode refuses what is not a string", () => {
    expect(() => tokenizer.encode(undefined as unknown as string)).toThrow(
      "to encode is nothing; expected a string",
    );
  });
});

describe("folders", () => {
  const BPE = { type: "BPE", vocab: { a: 0, b: 1, "<s>": 2, c: 5 }, merges: [] };

  test("without a tokenizer", async () => {
    const path = await folder("empty", {});
    expect(await hasTokenizer(path)).toBe(false);
    expect(await hasTokenizer(TALES)).toBe(true);
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(`"${path}" has no tokenizer: tokenizer.json is missing`) as string,
    });
  });

  test.each([
    ["tokenizer.json", { "tokenizer.json": "{" }],
    ["tokenizer.json", { "tokenizer.json": { version: "1.0" } }],
    ["tokenizer_config.json", { "tokenizer.json": { model: BPE }, "tokenizer_config.json": "[1" }],
  ])("a corrupt file is named: %s", async (name, files) => {
    const path = await folder("corrupt", files);
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining(join(path, name)) as string,
    });
  });

  test("a file that is too large is refused before it is read", async () => {
    const path = await folder("huge", { "tokenizer.json": "{}" });
    await truncate(join(path, "tokenizer.json"), 64 * 2 ** 20 + 1);
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining("has 67108865 bytes; expected 67108864 at most") as string,
    });
  });

  test.each<[string, object, string]>([
    [
      "tokenizer_config.json",
      { added_tokens_decoder: [] },
      '[] as "added_tokens_decoder"; expected an object',
    ],
    [
      "tokenizer_config.json",
      { added_tokens_decoder: { x: { content: "a" } } },
      'as "x" of "added_tokens_decoder"',
    ],
    [
      "tokenizer_config.json",
      { added_tokens_decoder: { 7: "a" } },
      'has "a" as "7" of "added_tokens_decoder"',
    ],
    [
      "tokenizer_config.json",
      { added_tokens_decoder: { 7: { content: 3 } } },
      '{"content":3} in "added_tokens_decoder"',
    ],
    ["added_tokens.json", { "<x>": "7" }, 'gives the token "<x>" the id "7"'],
  ])("a wrong table of tokens is named: %s %j", async (name, content, message) => {
    const path = await folder(`table-${JSON.stringify(content).length}-${message.length}`, {
      "tokenizer.json": { model: BPE },
      [name]: content,
    });
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringMatching(
        new RegExp(`^"${join(path, name).replaceAll("\\", "\\\\")}" `),
      ) as string,
    });
    await expect(loadTokenizer(path)).rejects.toThrow(message);
  });

  test("special tokens by name, in all spellings", async () => {
    const path = await folder("names", {
      "tokenizer.json": { model: BPE },
      "tokenizer_config.json": { bos_token: { content: "<s>" }, eos_token: null },
      "special_tokens_map.json": { additional_special_tokens: ["b"] },
    });
    expect((await loadTokenizer(path)).specialTokenIds).toEqual(new Set([2, 1]));
  });

  test("an unused id in the vocabulary has no text", async () => {
    const path = await folder("hole", { "tokenizer.json": { model: BPE, decoder: { type: "Fuse" } } });
    const tokenizer = await loadTokenizer(path);
    expect(tokenizer.vocabSize).toBe(6);
    expect(tokenizer.decode([0, 3, 5])).toBe("ac");
  });
});

describe("large files", () => {
  /** Makes a folder with the bundled tokenizer, large enough for a worker; JSON does not mind the space. */
  async function largeFolder(name: string, tail = ""): Promise<string> {
    const json = await readFile(join(TALES, "tokenizer.json"), "utf8");
    return folder(name, { "tokenizer.json": " ".repeat(2 ** 20) + json + tail });
  }

  test("are parsed in a worker, with the same result", async () => {
    const large = await loadTokenizer(await largeFolder("large"));
    const small = await loadTokenizer(TALES);
    const text = "Once upon a time, Zoë said: 日本語 🙂";
    expect(large.encode(text)).toEqual(small.encode(text));
    expect(large.decode(large.encode(text))).toBe(text);
  });

  test("an error in the worker arrives as it is", async () => {
    const path = await largeFolder("large-corrupt", "]");
    await expect(loadTokenizer(path)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining(`"${join(path, "tokenizer.json")}" is not valid JSON`) as string,
    });
  });

  test("loading can be aborted, before and while the worker runs", async () => {
    const path = await largeFolder("large-abort");
    await expect(loadTokenizer(path, { signal: AbortSignal.abort("early") })).rejects.toMatchObject({
      code: "aborted",
      cause: "early",
    });
    const controller = new AbortController();
    const loading = loadTokenizer(path, { signal: controller.signal });
    setTimeout(() => {
      controller.abort("late");
    }, 5);
    await expect(loading).rejects.toMatchObject({ code: "aborted", cause: "late" });
  });

  test("the process ends by itself after loading", async () => {
    const path = await largeFolder("large-exit");
    const module = new URL("../src/models/tokenizer/tokenizer.ts", import.meta.url).href;
    const script = `import { loadTokenizer } from ${JSON.stringify(module)};
      const tokenizer = await loadTokenizer(${JSON.stringify(path)});
      console.log(tokenizer.encode("Once upon").length);`;
    const file = join(scratch, "exit.mjs");
    await writeFile(file, script);
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 30_000 });
    expect(stdout.trim()).toMatch(/^\d+$/);
    // The worker must start also where the program itself came on the command line: its flags are not for the worker.
    const inline = ["--input-type=module", "--eval", script];
    const { stdout: again } = await promisify(execFile)(process.execPath, inline, { timeout: 30_000 });
    expect(again).toBe(stdout);
  });
});

describe("a SentencePiece-style tokenizer with byte fallback (as Llama 2's)", () => {
  const words = ["▁", "h", "e", "l", "o", "w", "r", "d", "ll", "▁h", "▁he", "▁hell", "▁hello"].concat([
    "▁w",
    "or",
    "▁wor",
    "▁worl",
    "▁world",
  ]);
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
  const specials = ["<unk>", "<s>", "</s>"];
  const DEFINITION = {
    added_tokens: specials.map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 0 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries([...specials, ...bytes, ...words].map((token, id) => [token, id])),
      merges: ["l l", "▁ h", "▁h e", "▁he ll", "▁hell o", "▁ w", "o r", "▁w or", "▁wor l", "▁worl d"],
    },
  };

  test("what is malformed and shows only when it is used is a named error", async () => {
    const model = { ...DEFINITION.model, unk_token: "<none>", byte_fallback: false };
    const tokenizer = await loadTokenizer(
      await folder("broken", { "tokenizer.json": { ...DEFINITION, model } }),
    );
    const message = /tokenizer\.json" has no id for its unknown token "<none>".* fetch it again\./;
    expect(() => tokenizer.encode("日")).toThrow(message);
    await expect(tokenizer.encodeAsync("日")).rejects.toThrow(message);
  });

  /** Texts with ids, decoded, decoded with special tokens: from tokenizers 0.23.2 on the same definition. */
  const CASES: [string, number[], string, string][] = [
    ["hello world", [1, 271, 276], "hello world", "<s> hello world"],
    [" hello", [1, 259, 271], " hello", "<s>  hello"],
    ["  hello", [1, 259, 259, 271], "  hello", "<s>   hello"],
    [
      "hello é日🙂 world",
      [1, 271, 259, 198, 172, 233, 154, 168, 243, 162, 156, 133, 276],
      "hello é日🙂 world",
      "<s> hello é日🙂 world",
    ],
    ["he\nllo", [1, 269, 13, 267, 263], "he\nllo", "<s> he\nllo"],
    ["hello</s> world", [1, 271, 2, 259, 276], "hello  world", "<s> hello</s>  world"],
    ["", [1], "", "<s>"],
  ];

  test("equals the reference", async () => {
    const tokenizer = await loadTokenizer(await folder("llama", { "tokenizer.json": DEFINITION }));
    for (const [text, ids, decoded, withSpecials] of CASES) {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(withSpecials);
    }
  });

  test("new text after a prompt keeps its first space: prompt + new = whole", async () => {
    const tokenizer = await loadTokenizer(await folder("llama", { "tokenizer.json": DEFINITION }));
    for (const [, ids] of CASES) {
      for (let cut = 2; cut < ids.length; cut++) {
        const head = tokenizer.decode(ids.slice(0, cut));
        if (head.includes("\ufffd")) {
          continue;
        } // a prompt that ends within a character has no text of its own
        expect(head + decodeInSteps(tokenizer, ids.slice(cut))).toBe(tokenizer.decode(ids));
      }
    }
  });
});

describe.skipIf(SMOLLM3 === undefined)("SmolLM3's own tokenizer (skipped without shared/smollm3)", () => {
  test("all reference cases, and the event loop turns while it loads", async () => {
    const path = SMOLLM3!;
    let turns = 0;
    const beat = setInterval(() => turns++, 0);
    const tokenizer = await loadTokenizer(path);
    clearInterval(beat);
    expect(turns).toBeGreaterThan(20); // one for each slice of the vocabulary, of which there are 32
    expect(tokenizer.vocabSize).toBe(128_256);

    interface Case {
      text: string;
      ids: number[];
      decoded: string;
    }
    const cases = JSON.parse(await readFile(join(path, "tokenizer_cases.json"), "utf8")) as Case[];
    expect(cases.length).toBeGreaterThan(10);
    for (const { text, ids, decoded } of cases) {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(decoded);
      expect(decodeInSteps(tokenizer, ids)).toBe(tokenizer.decode(ids));
    }
  });
});
